"""schemathesis over the OpenAPI document: whatever it makes up, no answer is a 5xx and every failure has the one shape."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings

schemathesis = pytest.importorskip("schemathesis")


def test_nothing_that_is_sent_breaks_it(url):
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
    tried = []
    for operation in (result.ok() for result in schema.get_all_operations()):

        @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy())
        def check(case):
            reply = case.call()
            assert reply.status_code < 500, (case.as_curl_command(), reply.text)
            if reply.status_code >= 400:
                assert {"type", "message", "request"} <= reply.json()["error"].keys()

        check()
        tried.append(operation.label)
    assert len(tried) >= 14
