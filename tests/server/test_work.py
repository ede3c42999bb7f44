"""The line in front of the models: turns, refusals, clients who leave, clocks that run out."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import subprocess
import sys
import threading
import time

import pytest
from starlette.testclient import TestClient

from medrag.server.app import create_app
from medrag.server.work import Busy, Queued, TooSlow, WorkQueue, _Threads


async def nobody_leaves():
    return False


async def taken(queue, start, gone=nobody_leaves):
    return [step async for step in queue.enter().steps(start, gone)]


async def settled(queue):
    until = time.monotonic() + 30
    while queue.inside and time.monotonic() < until:
        await asyncio.sleep(0.01)
    return queue.inside


def test_work_is_done_in_turn_and_each_place_is_told():
    async def scene():
        queue = WorkQueue(1, 4, 10)
        order = []

        def job(n):
            def start():
                for step in range(3):
                    order.append((n, step))
                    yield step

            return start

        done = await asyncio.gather(*(taken(queue, job(n)) for n in range(4)))
        assert [steps[0] for steps in done] == [Queued(0), Queued(1), Queued(2), Queued(3)] or all(
            isinstance(steps[0], Queued) for steps in done
        )
        assert [steps[1:] for steps in done] == [[0, 1, 2]] * 4
        assert order == sorted(order), "two answers were made at once by one worker"
        assert await settled(queue) == 0
        await queue.close()

    asyncio.run(scene())


def test_one_more_than_may_wait_is_refused_and_let_in_later():
    async def scene():
        queue = WorkQueue(1, 1, 10)
        tickets = [queue.enter(), queue.enter()]
        with pytest.raises(Busy):
            queue.enter()
        tickets[0].leave()
        tickets[0].leave()  # a second time does nothing
        queue.enter()
        assert queue.inside == 2

    asyncio.run(scene())


def test_who_leaves_frees_the_work_after_the_step_that_runs():
    async def scene():
        queue, closed, left = WorkQueue(1, 1, 10), threading.Event(), False

        def endless():
            try:
                while True:
                    time.sleep(0.01)
                    yield "step"
            finally:
                closed.set()

        async def gone():
            return left

        seen = 0
        async for _ in queue.enter().steps(endless, gone):
            seen += 1
            if seen == 5:
                left = True
                break
        assert await asyncio.to_thread(closed.wait, 30)
        assert await settled(queue) == 0
        await queue.close()

    asyncio.run(scene())


def test_a_client_who_leaves_while_waiting_or_in_a_long_step_is_noticed():
    async def scene():
        queue, go = WorkQueue(1, 2, 10), threading.Event()

        def slow():
            go.wait(60)
            yield "late"

        async def left():
            return True

        first = asyncio.ensure_future(taken(queue, slow))
        await asyncio.sleep(0.05)
        assert await taken(queue, slow, left) == [Queued(1)]  # in line
        assert queue.inside == 1
        go.set()
        assert (await first)[1:] == ["late"]
        assert await settled(queue) == 0
        go.clear()
        assert await taken(queue, slow, left) == [Queued(0)]  # at work
        assert queue.inside == 1, "the place is free only when the thread is"
        go.set()
        assert await settled(queue) == 0
        await queue.close()

    asyncio.run(scene())


def test_a_cancelled_task_frees_its_place():
    async def scene():
        queue, go = WorkQueue(1, 2, 10), threading.Event()

        def slow():
            go.wait(60)
            yield "late"

        tasks = [asyncio.ensure_future(taken(queue, slow)) for _ in range(3)]
        await asyncio.sleep(0.05)
        for task in tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        go.set()
        assert await settled(queue) == 0
        assert (await taken(queue, lambda: iter([1])))[1:] == [1]
        await queue.close()

    asyncio.run(scene())


def test_the_clock_and_failures_of_the_work_reach_the_caller():
    async def scene():
        queue = WorkQueue(1, 2, 0.1)
        with pytest.raises(TooSlow):
            await taken(queue, lambda: (time.sleep(0.4) or n for n in range(3)))
        assert await settled(queue) == 0

        def broken():
            yield 1
            raise ValueError("bad step")

        with pytest.raises(ValueError, match="bad step"):
            await taken(queue, broken)

        def no_start():
            raise KeyError("bad start")

        with pytest.raises(KeyError):
            await taken(queue, no_start)
        assert await settled(queue) == 0
        await queue.close()

    asyncio.run(scene())


def test_a_queue_has_no_threads_before_its_first_job_and_takes_none_once_it_is_closed():
    threads = _Threads(2)
    assert not threads._threads
    assert threads.submit(lambda: 1).result(30) == 1
    threads.close(30)
    assert not any(thread.is_alive() for thread in threads._threads)
    with pytest.raises(RuntimeError):
        threads.submit(lambda: 1)


def test_whatever_is_put_in_while_the_queue_closes_is_done_or_called_off_or_refused():
    for _ in range(50):
        threads, taken = _Threads(1), []

        def putting(threads=threads, taken=taken):
            with contextlib.suppress(RuntimeError):
                while True:
                    taken.append(threads.submit(lambda: None))

        puts = threading.Thread(target=putting)
        puts.start()
        threads.close(30)
        puts.join(30)
        assert all(one.done() for one in taken)


def test_a_step_that_never_ends_does_not_keep_the_process():
    code = """
import asyncio, threading
from medrag.server import work
from medrag.server.work import WorkQueue

work.GRACE = 0.1

async def scene():
    queue = WorkQueue(1, 2, 0.1)
    async def stays():
        return False
    try:
        async for _ in queue.enter().steps(threading.Event().wait, stays):
            pass
    except work.TooSlow:
        print("too slow")
    await queue.close()

asyncio.run(scene())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "too slow\n", "")


@pytest.mark.parametrize(("path", "body", "kind"), [
    ("/v1/answer", b"question=What+is+a+mass%3F&stream=true", b"application/x-www-form-urlencoded"),
    ("/v1/chat/completions", b'{"messages": [{"role": "user", "content": "What is a mass?"}], "stream": true}', b"application/json"),
])  # fmt: skip
def test_a_client_who_left_before_the_stream_began_keeps_no_place(rag, path, body, kind):
    app = create_app(rag)
    heard = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive():
        return heard.pop() if heard else {"type": "http.disconnect"}

    async def send(message):
        pass

    headers = [(b"host", b"127.0.0.1"), (b"content-type", kind), (b"content-length", b"%d" % len(body))]
    scope = {
        "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1", "method": "POST", "scheme": "http", "path": path,
        "raw_path": path.encode(), "query_string": b"", "root_path": "", "headers": headers, "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80),
    }  # fmt: skip

    async def scene():
        await app(scope, receive, send)
        assert await settled(app.state.served.queue) == 0
        await app.state.served.queue.close()

    asyncio.run(scene())


ASKED = {
    "/v1/answer": {"data": {"question": "What is a mass?"}},
    "/v1/search": {"data": {"question": "What is a mass?"}},
    "/v1/chat/completions": {"json": {"messages": [{"role": "user", "content": "What is a mass?"}]}},
}


@pytest.mark.parametrize(("part", "path"), [
    *(("served.Served.digest", path) for path in ASKED),
    ("served.Served.stages", "/v1/answer"), ("ask.answer_values", "/v1/answer"), ("browse.hit_dict", "/v1/search"),
    ("served.Served.remember", "/v1/chat/completions"), ("chat.references", "/v1/chat/completions"),
])  # fmt: skip
def test_whatever_fails_between_entering_and_leaving_the_place_comes_back(rag, monkeypatch, part, path):
    def fails(*given):
        raise RuntimeError("a bug")

    monkeypatch.setattr(f"medrag.server.{part}", fails)
    app = create_app(rag)
    gc.disable()  # what an exception holds on to is not cleared away by chance
    try:
        with TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False) as client:
            for _ in range(3):
                assert client.post(path, **ASKED[path]).status_code == 500
                assert client.portal.call(settled, app.state.served.queue) == 0
    finally:
        gc.enable()


def test_half_characters_are_asked_as_the_pipeline_asks_them_and_leave_the_line_open(rag):
    app = create_app(rag)
    body = b'{"messages": [{"role": "user", "content": "\\ud800"}]}'
    with TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False) as client:
        for _ in range(17):
            asked = client.post("/v1/chat/completions", content=body, headers={"content-type": "application/json"})
            assert asked.status_code == 200
        assert client.post("/v1/answer", data={"question": "What is a mass?"}).status_code == 200
