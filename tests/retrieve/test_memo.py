"""The encoder that remembers its last queries: it may save work, never change a result."""

import threading
import time

import numpy as np
import pytest
from PIL import Image

from medrag.retrieve.search import KEPT, Memo
from medrag.testing import FakeEncoder
from medrag.types import Query, QueryImage


def grey(value, sha256=""):
    return Query("", (QueryImage(Image.new("L", (8, 8), value), sha256=sha256),))


def test_images_without_a_hash_are_not_taken_for_each_other():
    encoder = FakeEncoder("image")
    memo = Memo(encoder)
    for query in (grey(0), grey(200)):
        np.testing.assert_array_equal(memo.query(query), encoder.encode_queries([query]))


def test_the_last_query_is_not_encoded_again():
    memo = Memo(FakeEncoder("image"))
    first = memo.query(grey(0, "a"))
    assert memo.query(grey(0, "a")) is first
    assert memo.query(grey(9, "b")) is not first


class Counted(FakeEncoder):
    """Counts what it is asked, and takes its time; fails as often as it is told."""

    def __init__(self, failures=0):
        super().__init__("text")
        self.asked, self.failures = [], failures

    def encode_queries(self, queries):
        self.asked.append(queries[0].text)
        time.sleep(0.02)
        if self.failures:
            self.failures -= 1
            raise RuntimeError("not now")
        return super().encode_queries(queries)


def test_threads_that_ask_the_same_wait_for_one_another():
    memo, found = Memo(encoder := Counted()), []
    threads = [threading.Thread(target=lambda: found.append(memo.query(Query("effusion")))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert encoder.asked == ["effusion"] and all(one is found[0] for one in found)


def test_it_works_ahead_on_what_it_was_asked_before_and_on_nothing_else():
    memo = Memo(encoder := Counted())
    memo.ahead(Query("first"))
    time.sleep(0.05)
    assert encoder.asked == []  # who knows whether anyone wants it
    memo.query(Query("first"))
    memo.ahead(Query("second"))
    memo.ahead(Query("third", grey(1, "a").images))  # a question about an image: not asked before
    until = time.monotonic() + 10
    while len(encoder.asked) < 2 and time.monotonic() < until:
        time.sleep(0.01)
    assert encoder.asked == ["first", "second"]  # before anyone asked
    np.testing.assert_array_equal(memo.query(Query("second")), encoder.encode_queries([Query("second")]))
    assert encoder.asked == ["first", "second", "second"]  # the last by the line above itself


def test_what_failed_is_tried_again():
    memo = Memo(Counted(failures=1))
    with pytest.raises(RuntimeError, match="not now"):
        memo.query(Query("effusion"))
    assert memo.query(Query("effusion")).shape[0] == 1


def test_the_last_queries_are_remembered_and_forgotten():
    memo = Memo(encoder := Counted())
    for n in range(KEPT + 1):
        memo.query(Query(str(n)))
    memo.query(Query(str(KEPT)))
    memo.query(Query("1"))
    assert len(encoder.asked) == KEPT + 1
    memo.query(Query("0"))
    assert len(encoder.asked) == KEPT + 2
    memo.forget()
    memo.query(Query("0"))
    assert len(encoder.asked) == KEPT + 3
