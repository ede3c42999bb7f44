"""Recorded answers."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image
from some_prompts import PRIMER, prompt, said

from medrag.errors import GeneratorError, SettingsError
from medrag.testing import FakeGenerator
from medrag.vlms.replay import Recorder, Replay, record_key

DARK, LIGHT = Image.new("L", (8, 8), 0), Image.new("L", (8, 8), 200)


def test_what_was_recorded_is_played_back_piece_by_piece(tmp_path: Path) -> None:
    path = tmp_path / "new" / "said.jsonl"
    recorder = Recorder(FakeGenerator(["One – ünïcode [E1].", "Two."], name="m"), path)
    one, two = prompt("First?"), prompt("Second?")
    pieces = list(recorder.stream(one, [DARK]))
    said(recorder, two)
    replay = Replay(str(path))
    assert list(replay.stream(one, [DARK])) == pieces == ["One", " –", " ünïcode", " [E1]."]
    assert said(replay, two) == "Two."
    assert recorder.name == "m"


def test_question_evidence_and_images_all_count() -> None:
    base = record_key(prompt("First?"), [DARK])
    others = [
        record_key(prompt("Second?"), [DARK]),
        record_key(prompt("First?"), [LIGHT]),
        record_key(prompt("First?"), [DARK, DARK]),
        record_key(prompt("First?")),
        record_key(prompt("First?", general=PRIMER[::-1]), [DARK]),
        record_key(prompt("First?", alike=()), [DARK]),
    ]
    assert base == record_key(prompt("First?", max_tokens=9), [DARK.copy()])
    assert len({base, *others}) == 7


def test_a_question_that_was_not_recorded(tmp_path: Path) -> None:
    (tmp_path / "said.jsonl").write_text("\n")
    with pytest.raises(GeneratorError, match="holds no answer to 'First") as caught:
        said(Replay(str(tmp_path / "said.jsonl")), prompt("First?"))
    assert "Recorder" in caught.value.hint


def test_an_answer_that_was_left_early_is_not_recorded(tmp_path: Path) -> None:
    pieces = Recorder(FakeGenerator(["One two three"]), tmp_path / "said.jsonl").stream(prompt("First?"))
    next(pieces)
    pieces.close()  # type: ignore[attr-defined]
    assert not (tmp_path / "said.jsonl").exists()


def test_of_two_records_the_last_counts(tmp_path: Path) -> None:
    recorder = Recorder(FakeGenerator(["Old.", "New."]), tmp_path / "said.jsonl")
    said(recorder, prompt("First?"))
    said(recorder, prompt("First?"))
    assert said(Replay(str(tmp_path / "said.jsonl")), prompt("First?")) == "New."


@pytest.mark.parametrize("content", [b"not json\n", b'{"key": "a"}\n', b"[1]\n", b"\xff\xfe", None])
def test_files_that_are_no_recording(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "said.jsonl"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SettingsError) as caught:
        Replay(str(path))
    assert "Recorder" in caught.value.hint
