"""The HTTP API over a real small index: answers whole and as events, search, items, and everything that is refused."""

from __future__ import annotations

import io
import json
import logging
import threading
import time

import httpx
import pytest
from PIL import Image
from running import QUESTION, chest, running

from medrag.pipeline import MedRAG
from medrag.server import settings_of
from medrag.testing import FakeGenerator


def events(text):
    """(name, data) of each server-sent event."""
    found = []
    for part in filter(None, text.split("\n\n")):
        name, data = part.split("\n")
        found.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return found


def with_generator(rag, generator, **settings):
    changed = rag.settings.model_copy(update=settings)
    return MedRAG(rag.retrievers, rag.router, rag.selector, generator, changed, rag.store, rag.recipe)


@pytest.fixture(scope="module")
def http(url):
    with httpx.Client(base_url=url, timeout=60) as client:
        yield client


def ask(http, question=QUESTION, files=(), **fields):
    data = {"question": question, **fields}
    return http.post("/v1/answer", data=data, files=[("image", one) for one in files] or None)


def test_an_answer_is_that_of_the_pipeline_without_paths_and_identifiers(http, rag):
    said = rag.answer(str(chest()), QUESTION)
    reply = ask(http, files=[("secret-name.dcm", chest().read_bytes())])
    value = reply.json()
    assert reply.status_code == 200 and value["text"] == said.text and value["status"] == said.status
    assert [c["key"] for c in value["citations"]] == [c.key for c in said.citations] != []
    page = next(one for one in value["citations"] if one["kind"] == "passage")
    assert page["boxes"] and page["page"] and page["source"] == "primer.pdf"
    assert value["images"][0]["meta"]["modality"] == "CR"
    assert not {"patient_id", "study_uid", "sop_uid"} & set(value["images"][0]["meta"])
    text = reply.text
    assert "secret-name" not in text and str(chest().parent) not in text and "/primer/primer.pdf" not in text


def test_events_come_in_order_and_end_with_the_same_answer(http):
    reply = http.post(
        "/v1/answer", data={"question": QUESTION, "html": "true"}, headers={"accept": "text/event-stream"}
    )
    found = events(reply.text)
    names = [name for name, _ in found]
    assert names[:4] == ["queued", "routed", "found", "selected"] and names[-1] == "answer"
    assert set(names[4:-1]) == {"token"}
    assert found[2][1]["sources"]["lexical"]["count"] > 0 and found[3][1]["kept"][0]["key"] == "E1"
    answer = found[-1][1]
    assert answer["text"] == ask(http).json()["text"]
    assert 'href="#' in answer["html"]["said"] and "<mark>" in answer["html"]["evidence"]
    page = http.get(f"/v1/answers/{answer['id']}/page")
    assert page.status_code == 200 and QUESTION in page.text and "default-src 'none'" in page.text


def test_the_search_loop_tells_its_steps(http):
    found = events(ask(http, agent="true", stream="true").text)
    steps = [data for name, data in found if name == "step"]
    assert {step["node"] for step in steps} >= {"planned", "verified"}
    assert found[-1][0] == "answer" and found[-1][1]["trace"][-1]["tool"] == "answer"


def test_a_question_that_leans_on_the_one_before_is_completed(http):
    value = ask(http, "What about a mass?", before="Is there a pleural effusion?").json()
    assert value["question"] == "Is there a mass?"


def test_what_has_no_thing_of_its_own_does_not_hide_the_question_before_it(http):
    value = ask(http, "What about a mass?", before=["Is there a pleural effusion?", "since when?"]).json()
    assert value["question"] == "Is there a mass?"


def test_how_do_you_know_recites_what_the_answer_to_the_question_before_cites(http):
    first, told = ask(http).json(), ask(http, "How do you know?", before=QUESTION).json()
    assert told["text"].startswith("It cites [E1] “") and told["question"] == QUESTION
    assert told["citations"] == first["citations"]
    found = events(ask(http, "How do you know?", before=QUESTION, stream="true").text)
    assert found[-1][0] == "answer" and "token" not in dict(found)
    assert ask(http, "How do you know?").json()["question"] == "How do you know?"  # of nothing


def test_what_is_excluded_stays_out(http):
    first = http.get("/v1/search", params={"question": "small right pleural effusion", "k": 50}).json()["hits"]
    assert "reports:2" in {hit["doc"] for hit in first}
    left = http.get("/v1/search", params={"question": "small right pleural effusion", "k": 50, "exclude": "reports:2"})
    assert "reports:2" not in {hit["doc"] for hit in left.json()["hits"]}


def test_an_item_and_its_picture_with_a_region(http):
    hits = http.get("/v1/search", params={"question": "pleural effusion"}).json()["hits"]
    hit = next(one for one in hits if one["doc"] == "primer:primer")
    url = f"/v1/items/{hit['item'].replace('#', '%23')}"
    item = http.get(url).json()
    assert item["text"] == hit["text"] and item["doc"] == hit["doc"]
    plain, marked = (
        Image.open(io.BytesIO(http.get(f"{url}/picture", params=params).content))
        for params in ({"side": 400}, {"side": 400, "box": "72,100,300,200"})
    )
    assert max(plain.size) <= 400 and plain.size == marked.size and plain.tobytes() != marked.tobytes()


def test_what_the_graph_made_for_a_question_is_found_by_its_id(http):
    hits = http.get("/v1/search", params={"question": "pleural effusion", "k": 50}).json()["hits"]
    made = [hit for hit in hits if hit["kind"] == "triple"]
    assert made
    for hit in made:
        item = http.get(f"/v1/items/{hit['item'].replace('#', '%23')}")
        assert item.status_code == 200 and item.json()["text"] == hit["text"]


def test_what_the_index_holds(http):
    value = http.get("/v1/index").json()
    assert value["name"] == "served" and value["counts"]["reports"]["study"] == 2 and value["model"] == "extractive"
    assert value["retrievers"] == ["lexical", "graph"]


def test_a_preview_shows_a_dicom_under_another_window(http):
    def shown(**fields):
        reply = http.post("/v1/preview", data=fields, files={"image": ("x.dcm", chest().read_bytes())})
        assert reply.status_code == 200, reply.text
        return reply, Image.open(io.BytesIO(reply.content))

    own, picture = shown()
    low, high = (float(x) for x in own.headers["x-window"].split(","))
    narrow, other = shown(center=(low + high) / 2, width=(high - low) / 10)
    assert narrow.headers["x-frames"] == "1" and picture.tobytes() != other.tobytes()
    assert narrow.headers["x-window"] != own.headers["x-window"]
    png = io.BytesIO()
    Image.new("L", (20, 10), 90).save(png, "PNG")
    plain = http.post("/v1/preview", files={"image": ("x.png", png.getvalue())})
    assert "x-window" not in plain.headers


@pytest.mark.parametrize(
    ("send", "status", "words"),
    [
        (lambda http: ask(http, files=[("x.dcm", b"not an image at all")]), 422, "image"),
        (lambda http: ask(http, files=[("x.dcm", b"")]), 422, "empty"),
        (lambda http: ask(http, files=[("x.dcm", chest().read_bytes()[:4000])]), 422, "image"),
        (lambda http: ask(http, ""), 422, "neither an image nor a question"),
        (lambda http: ask(http, "x" * 9000), 422, "characters"),
        (lambda http: ask(http, files=[("x.png", b"1")] * 9), 422, "images"),
        (
            lambda http: http.post("/v1/answer", data={"question": "What?"}, files={"images": ("x.png", b"1")}),
            422,
            "'images'",
        ),
        (lambda http: http.post("/v1/answer", json={"question": "What?"}), 422, "application/json"),
        (lambda http: http.get("/v1/search", params={"question": "effusion", "retriever": "x"}), 422, "'retriever'"),
        (lambda http: http.post("/v1/answer?exclude=a", data={"question": "What?"}), 422, "send it in the form"),
        (lambda http: http.post("/v1/search?k=1", data={"question": "What?"}), 422, "'k' in the address"),
        (lambda http: http.get("/v1/items/x/picture?boxes=1,2,3,4"), 422, "did you mean 'box'"),
        (lambda http: http.get("/v1/items/none:such"), 404, "no such item"),
        (lambda http: http.get("/v1/items/none:such/picture"), 404, "no such item"),
        (lambda http: http.get("/v1/items/x/picture", params={"box": "4,3,2,1"}), 422, "box"),
        (lambda http: http.get("/v1/search"), 422, "question"),
        (lambda http: http.get("/v1/answers/abc/page"), 404, "memory"),
        (lambda http: http.get("/v1/nothing"), 404, "Not Found"),
        (lambda http: http.get("/v1/answer"), 405, "Method"),
        (lambda http: http.get("/page/../settings.py"), 404, ""),
        (lambda http: http.get("/v1/reports/..%2Fx.html"), 404, ""),
    ],
)
def test_what_cannot_be_done_is_one_clear_line(http, send, status, words):
    reply = send(http)
    problem = reply.json()["error"]
    assert reply.status_code == status and words in problem["message"] and "Traceback" not in reply.text
    assert "/home" not in problem["message"] and reply.headers["x-request-id"] == problem["request"]


def test_a_failure_in_a_stream_is_an_event(http):
    reply = http.post("/v1/answer", data={"stream": "true"}, files={"image": ("x.png", b"nonsense")})
    assert reply.status_code == 200
    name, data = events(reply.text)[-1]
    assert name == "error" and "image" in data["message"] and data["hint"]


def test_a_body_over_the_limit_is_refused_even_where_its_length_is_not_said(rag):
    with running(rag, upload_mb=0.5) as url, httpx.Client(base_url=url) as http:
        said = http.post("/v1/answer", files={"image": ("x", b"1" * 600_000)})
        assert said.status_code == 413 and "0.5 MB" in said.json()["error"]["message"]

        def body():
            yield b'--x\r\ncontent-disposition: form-data; name="image"; filename="x"\r\n\r\n'
            for _ in range(20):
                yield b"1" * 100_000

        unsaid = http.post("/v1/answer", content=body(), headers={"content-type": "multipart/form-data; boundary=x"})
        assert unsaid.status_code == 413
        assert ask(http).status_code == 200


def test_only_who_knows_the_token_gets_in(rag):
    token = "correct-horse-battery"
    with running(rag, tokens=(token,)) as url, httpx.Client(base_url=url) as http:
        for path in ("/v1/index", "/metrics", "/docs", "/openapi.json", "/mcp/", "/v1/models", "/v1/nothing"):
            assert http.get(path).status_code == 401, path
        for header in ("", "Bearer", "Bearer wrong", f"Basic {token}", f"Bearer {token}x"):
            reply = http.get("/v1/index", headers={"authorization": header})
            wrong = header in ("Bearer wrong", f"Bearer {token}x")
            assert reply.status_code == 401 and token not in reply.text
            assert ("is not known here" in reply.text) == wrong and ("send the header" in reply.text) != wrong
        assert http.get("/v1/index", headers={"authorization": f"Bearer {token}"}).status_code == 200
        assert http.get("/healthz").json() == {"status": "ok"} and http.get("/").status_code == 200


def test_pages_of_other_sites_and_rebound_names_are_refused(http, rag):
    assert http.get("/v1/index", headers={"origin": "https://evil.example"}).status_code == 403
    assert http.get("/v1/index", headers={"origin": "null"}).status_code == 403
    assert http.get("/v1/index", headers={"origin": str(http.base_url).rstrip("/")}).status_code == 200
    assert http.get("/v1/index", headers={"host": "evil.example"}).status_code == 421
    assert http.get("/v1/index", headers={"host": "["}).status_code == 421
    assert http.get("/v1/index", headers={"origin": "http://[x"}).status_code == 403
    with (
        running(rag, origins=("https://good.example",), hosts=("box.lan",)) as url,
        httpx.Client(base_url=url) as open_,
    ):
        reply = open_.get("/v1/index", headers={"origin": "https://good.example", "host": "box.lan:80"})
        assert reply.status_code == 200 and reply.headers["access-control-allow-origin"] == "https://good.example"
        assert open_.get("/v1/index", headers={"origin": "https://evil.example"}).status_code == 403


def test_the_settings_are_closed_unless_opened():
    from medrag.errors import SettingsError

    with pytest.raises(SettingsError, match="token"):
        settings_of(host="0.0.0.0")
    with pytest.raises(SettingsError, match="guessed"):
        settings_of(tokens=("short",))
    for token in ("tökens-of-many-letters", "two-lines\nof-one-token"):  # as headers come, it would never be known
        with pytest.raises(SettingsError, match="no header carries"):
            settings_of(tokens=(token,))
    assert settings_of(host="0.0.0.0", tokens=("a" * 24,)).host == "0.0.0.0"
    assert settings_of(host="::1").port == 8000


class Slow:
    """Writes a word every tenth of a second until it is stopped; counts how many it wrote."""

    name, sees_images = "slow", False

    def __init__(self):
        self.words, self.closed = 0, threading.Event()

    def stream(self, prompt, images=()):
        try:
            for _ in range(100):
                time.sleep(0.1)
                self.words += 1
                yield "word [E1] "
        finally:
            self.closed.set()


def test_more_than_may_wait_are_told_to_come_again(rag):
    slow = Slow()
    with running(with_generator(rag, slow), waiting=0) as url, httpx.Client(base_url=url, timeout=30) as http:
        with http.stream("POST", "/v1/answer", data={"question": QUESTION, "stream": "true"}) as first:
            lines = first.iter_lines()
            assert next(lines) == "event: queued"
            refused = ask(http)
            assert refused.status_code == 429 and refused.headers["retry-after"] == "2"
            assert refused.json()["error"]["type"] == "busy"
            assert next(line for line in lines if line == "event: token")
        began = time.monotonic()  # the block's end closed the connection
        assert slow.closed.wait(30), "work went on for a client who had left"
        while time.monotonic() - began < 30 and ask(http, "x").status_code == 429:
            time.sleep(0.05)
        assert slow.words < 100


def test_a_client_of_a_whole_answer_who_leaves_frees_the_work_too(rag):
    slow = Slow()
    with running(with_generator(rag, slow)) as url, httpx.Client(base_url=url, timeout=0.8) as http:
        with pytest.raises(httpx.ReadTimeout):
            ask(http)
        assert slow.closed.wait(30) and slow.words < 100


def test_an_answer_that_takes_too_long_ends_in_a_timeout(rag):
    with running(with_generator(rag, Slow()), timeout=0.7) as url, httpx.Client(base_url=url, timeout=30) as http:
        late = ask(http)
        assert late.status_code == 504 and "longer than it may" in late.json()["error"]["message"]
        assert events(ask(http, stream="true").text)[-1][1]["type"] == "timeout"


def test_a_bug_is_a_500_without_its_words_and_its_place_stands_in_the_log(rag, caplog):
    class Broken:
        name, sees_images = "broken", False

        def stream(self, prompt, images=()):
            raise RuntimeError("secret of a patient")
            yield

    with (
        running(with_generator(rag, Broken())) as url,
        httpx.Client(base_url=url, timeout=30) as http,
        caplog.at_level(logging.INFO),
    ):
        reply = ask(http)
        assert reply.status_code == 500 and "secret" not in reply.text
        assert "secret" not in ask(http, stream="true").text
    assert "RuntimeError" in caplog.text and "test_api.py" in caplog.text and "secret" not in caplog.text
    assert reply.json()["error"]["request"] in caplog.text


def test_the_log_and_the_metrics_hold_nothing_that_was_sent(rag, caplog):
    with (
        running(rag) as url,
        httpx.Client(base_url=url, timeout=30) as http,
        caplog.at_level(logging.INFO, "medrag.server"),
    ):
        ask(http, "Does Mrs. Petronella Quux have an effusion?", [("quux-film.dcm", chest().read_bytes())])
        http.get("/v1/items/patient:quux")
        metrics = http.get("/metrics").text
    logged = caplog.text + metrics
    assert '"route": "/v1/answer"' in caplog.text and '"question": "' in caplog.text
    assert "quux" not in logged.lower() and "effusion" not in logged
    assert 'medrag_requests_total{route="/v1/answer",status="200"} 1.0' in metrics and "medrag_inside 0.0" in metrics
    assert 'route="/v1/items/{item}"' in metrics or 'route="/v1/items/{item:path}"' in metrics


def test_what_a_client_sends_is_never_taken_for_a_path(http, tmp_path):
    secret = tmp_path / "secret.png"
    Image.new("L", (8, 8)).save(secret)
    reply = http.post("/v1/answer", data={"question": QUESTION, "image": str(secret)})
    assert reply.status_code == 422 or not reply.json()["images"]


def test_private_stays_private(rag):
    with (
        running(with_generator(rag, rag.generator, private=True)) as url,
        httpx.Client(base_url=url, timeout=30) as http,
    ):
        value = ask(http).json()
        assert {kept["kind"] for kept in value["context"]["kept"]} <= {"concept", "triple"}
        assert http.get("/v1/index").json()["private"] is True


def test_the_api_document_describes_itself_and_loads_nothing_from_elsewhere(http):
    document = http.get("/openapi.json").json()
    assert {"/v1/answer", "/v1/search", "/v1/items/{item}", "/v1/chat/completions"} <= set(document["paths"])
    assert document["components"]["schemas"]["AnswerOut"]["example"]["citations"]
    page = http.get("/docs").text
    assert "https://" not in page and "//cdn" not in page


def test_old_answers_are_forgotten(rag):
    with running(rag, remembered=1) as url, httpx.Client(base_url=url, timeout=30) as http:
        first, second = ask(http).json()["id"], ask(http).json()["id"]
        assert http.get(f"/v1/answers/{first}/page").status_code == 404
        assert http.get(f"/v1/answers/{second}/page").status_code == 200


def test_a_server_that_stopped_remembers_nothing(rag):
    from starlette.testclient import TestClient

    from medrag.server import create_app
    from medrag.vlms._words import content

    app = create_app(rag)
    with TestClient(app, base_url="http://127.0.0.1") as client:
        assert ask(client).status_code == 200
        assert app.state.served.answers and content.cache_info().currsize
    assert not app.state.served.answers and not content.cache_info().currsize


def test_half_a_character_in_what_the_model_writes_is_no_failure(rag):
    with running(with_generator(rag, FakeGenerator(["Fluid \ud83d [E1]."]))) as url:
        reply = httpx.post(f"{url}/v1/answer", data={"question": QUESTION})
        asked = {"model": "medrag", "messages": [{"role": "user", "content": QUESTION}]}
        assert reply.json()["text"] == "Fluid ? [E1]."
        assert httpx.post(f"{url}/v1/chat/completions", json=asked).status_code == 200


def test_a_model_that_fails_is_a_bad_gateway(rag):
    from medrag.errors import GeneratorError

    class Down:
        name, sees_images = "down", False

        def stream(self, prompt, images=()):
            raise GeneratorError("the model's server does not answer", "start it")
            yield

    with running(with_generator(rag, Down())) as url, httpx.Client(base_url=url, timeout=30) as http:
        reply = ask(http)
    assert reply.status_code == 502 and reply.json()["error"]["hint"] == "start it"
