"""A user's own questions: tables and JSON lines with the names people give their columns, read whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from medrag.corpora.own import NAMES, Own, only_questions, read_own
from medrag.errors import CorpusError, MedragError, SettingsError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    for path in (tmp_path / "a.png", tmp_path / "images/b.png"):
        Image.new("L", (8, 8)).save(path)
    return tmp_path


def read(folder: Path, text: str, name: str = "own.csv", **options: Any) -> list[Own]:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return read_own(path, **options)


def test_columns_may_be_called_what_people_call_them(folder: Path) -> None:
    closed, open_ = read(
        folder,
        "Patient ID,Image-Path,Question,Answer,age\n7,a.png,Is there a mass?,Yes.,40\n7,b.png,Which lobe?,lower,40\n",
    )
    assert closed == Own("1", "7", "Is there a mass?", "yes", (folder / "a.png",), "closed", patient="7")
    assert (open_.kind, open_.reference, open_.images) == ("open", "lower", (folder / "images/b.png",))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("own.csv", "image,question,answer\na.png;b.png,Is there a mass?,no\n"),
        ("own.csv", "\ufeffimage;question;answer\n\"a.png;b.png\";Is there a mass?;no\n"),
        ("own.tsv", "image\tquestion\tanswer\na.png;b.png\tIs there a mass?\tno\n"),
        ("own.jsonl", '{"images": ["a.png", "b.png"], "question": "Is there a mass?", "answer": false}\n'),
        ("own.json", '[{"images": ["a.png", "b.png"], "question": "Is there a mass?", "answer": "No"}]'),
    ],
)  # fmt: skip
def test_every_form_gives_the_same(folder: Path, name: str, text: str) -> None:
    (one,) = read(folder, text, name)
    pictures = (folder / "a.png", folder / "images/b.png")
    assert one == Own("1", str(pictures[0]), "Is there a mass?", "no", pictures, "closed")


def test_reports_stand_alone_or_beside_a_question(folder: Path) -> None:
    alone, beside = read(
        folder,
        "uid,image,findings,impression,question,answer\n3,a.png,Clear lungs.,Normal.,,\n4,b.png,A mass.,,Is there a mass?,yes\n",
    )
    assert (alone.kind, alone.reference, alone.report, alone.group) == ("report", "Clear lungs. Normal.", "", "3")
    assert (beside.kind, beside.reference, beside.report, beside.study) == ("closed", "yes", "A mass.", "4")


def test_labels_are_yes_and_no_and_numbers_where_all_answers_are_labels(folder: Path) -> None:
    head = "image,question,answer\n"
    assert [one.reference for one in read(folder, f"{head}a.png,q?,present\nb.png,q?,N\nb.png,r?,1\n")] == [
        "yes",
        "no",
        "yes",
    ]
    mixed = read(folder, f"{head}a.png,How many?,1\nb.png,Where?,left lung\nb.png,q?,absent\n")
    assert [one.kind for one in mixed] == ["open", "open", "closed"]


def test_a_kind_that_is_named_is_that_of_every_row(folder: Path) -> None:
    text = "question,dx\nq?,present\nr?,unclear\n"
    with pytest.raises(CorpusError, match="line 3: the answer 'unclear' is neither yes nor no"):
        read(folder, text, columns={"answer": "dx"}, kind="closed")
    assert [one.kind for one in read(folder, text, columns={"answer": "dx"}, kind="open")] == ["open", "open"]


def test_a_table_of_classes_asks_what_each_picture_is(folder: Path) -> None:
    text = "image,label\na.png,WBC\nimages\\b.png,normal\n"
    rows = [(one.question, one.reference, one.kind, one.images) for one in read(folder, text)]
    assert rows == [
        ("What is this?", "WBC", "open", (folder / "a.png",)),
        ("What is this?", "normal", "open", (folder / "images/b.png",)),
    ]
    with pytest.raises(CorpusError, match=r"line 3: there is no answer.* or an image with its report or its label"):
        read(folder, "image,label\na.png,WBC\nb.png,nan\n")
    with pytest.raises(CorpusError, match="line 3"):  # beside reports a label is none
        read(folder, "image,report,label\na.png,Clear.,normal\nb.png,,normal\n")


def test_films_of_a_study_in_rows_of_their_own_are_one_report(folder: Path) -> None:
    first, other = read(folder, "id,image,findings\n7,a.png,A mass.\n7,b.png,A mass.\n8,b.png,Clear.\n")
    assert (first.study, len(first.images), other.study) == ("7", 2, "8")
    (one,) = read(folder, "reference,image\nClear lungs.,a.png\n", columns={"report": "reference"})
    assert (one.kind, one.reference) == ("report", "Clear lungs.")


def test_tables_saved_by_programs(folder: Path) -> None:
    rows = '[{"patient": 1.0, "question": "q?", "answer": "yes", "report": NaN}, {"patient": NaN, "question": "r?", "answer": "no", "img": "a"}]'
    one, other = read(folder, rows, "own.json")
    assert (one.patient, one.report, other.patient, other.images) == ("1", "", "", (folder / "a.png",))
    (folder / "own.csv").write_bytes("Frage;answer\nGröße?;1\n".encode("cp1252"))
    (read_,) = read_own(folder / "own.csv", {"question": "Frage"}, encoding="cp1252")
    assert read_.question == "Größe?"
    assert only_questions(folder / "own.json") == ["q?", "r?"]
    (folder / "own.csv").write_text("question\nq?\nq?\n")
    assert only_questions(folder / "own.csv") == ["q?"]


def test_columns_of_other_names_are_mapped(folder: Path) -> None:
    text = "picture,ask,diagnosis\na.png,Is it benign?,yes\n"
    columns = {"image": "picture", "question": "ask", "answer": "diagnosis"}
    assert read(folder, text, columns=columns)[0].reference == "yes"
    with pytest.raises(SettingsError, match=r"no role 'anser'.*did you mean"):
        read(folder, text, columns={"anser": "diagnosis"})
    with pytest.raises(CorpusError, match=r"no column 'diag'.*found: picture, ask, diagnosis"):
        read(folder, text, columns={"answer": "diag"})


def test_relevant_documents_make_judged_queries(folder: Path) -> None:
    listed, graded, both = read(
        folder,
        '{"question": "a?", "relevant": "book:1#p2; book:2"}\n{"images": ["a.png"], "relevant": {"films:3": 2}}\n'
        '{"question": "Is there a mass?", "answer": "yes", "relevant": ["films:4"]}\n',
        "own.jsonl",
    )
    assert (listed.kind, listed.relevant) == ("ranking", {"book:1#p2": 1, "book:2": 1})
    assert (graded.kind, graded.relevant, graded.question) == ("ranking", {"films:3": 2}, "")
    assert (both.kind, both.relevant) == ("closed", {"films:4": 1})


@pytest.mark.parametrize("grade", ["0.9", "-1", '"much"', "null"])
def test_a_grade_that_is_no_whole_number_is_told_and_not_cut(folder: Path, grade: str) -> None:
    with pytest.raises(CorpusError, match=r"line 1: the grade .* whole numbers, 1 and above is relevant"):
        read(folder, f'{{"question": "a?", "relevant": {{"films:51": {grade}}}}}', "own.jsonl")
    (one,) = read(folder, '{"question": "a?", "relevant": {"a": 2.0, "b": 0, "c": "1"}}', "own.jsonl")
    assert one.relevant == {"a": 2, "b": 0, "c": 1}


@pytest.mark.parametrize(
    ("head", "near"),
    [
        ("imgae,question,answer", "image"),
        ("image,quesiton,answer", "question"),
        ("image,question,anwser", "answer"),
        ("Patinet ID,question,answer", "patient_id"),
        ("finding,image,study", "findings"),
    ],
)
def test_a_column_that_is_misspelled_is_told_and_not_left_out(folder: Path, head: str, near: str) -> None:
    with pytest.raises(CorpusError, match=rf"the column .*, which is nearly called '{near}' → rename it"):
        read(folder, f"{head}\na.png,a.png,yes\n")


def test_other_columns_are_nobodys_misspelling(folder: Path) -> None:
    more = "age sex label notes image_quality answer_type question_type images_count studydate StudyDate pid report_date question_no finding".split()
    (one,) = read(folder, f"question,answer,{','.join(more)}\nq?,yes,{','.join('x' for _ in more)}\n")
    assert one.reference == "yes"
    (one,) = read(folder, "imgae,img,question,answer\nx,a.png,q?,yes\n")  # the role is filled
    assert one.images
    (one,) = read(folder, "imgae,question,answer\na.png,q?,yes\n", columns={"image": "imgae"})
    assert one.images


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("image,question\na.png,q?\n", "line 2: there is no answer, no report and no relevant document"),
        ("relevant\nbook:a\n", "line 2: nothing is asked"),
        ("image,answer\na.png,yes\n", "line 2: the answer has no question"),
        ("id,question,answer\n1,q?,yes\n1,r?,no\n", "line 3: there is another question with the id '1'"),
        ("question,answer,kind\nq?,yes,close\n", "line 2: there is no kind 'close'; known: closed, open, report"),
        ("question,answer,kind\nq?,blue,closed\n", "line 2: the answer 'blue' is neither yes nor no"),
        ("question,answer\n", "holds no question"),
        ("image,question,answer\nx.png,q?,yes\na.png,q?,yes\n", "1 of its pictures are not there, the first .*x.png"),
        (f"image,question,answer\n{'a' * 300}.png,q?,yes\n", "1 of its pictures are not there"),
        ("question,answer\nq?,yes,more\n", ":2.*as many fields as the header"),
        ("", "is empty"),
    ],
)
def test_what_is_no_question_is_told_with_its_line(folder: Path, text: str, told: str) -> None:
    with pytest.raises(CorpusError, match=told):
        read(folder, text)


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("own.jsonl", "[" * 200_000, "line 1: is JSON nested too deeply"),
        ("own.json", '{"a":' * 200_000, "is JSON nested too deeply"),
        ("own.jsonl", '{"question": "q?", "relevant": {"a": 1e999}}', "line 1: the grade inf is none"),
    ],
)  # found by the fuzzer
def test_json_that_no_parser_bears_is_told(folder: Path, name: str, text: str, told: str) -> None:
    with pytest.raises(CorpusError, match=told):
        read(folder, text, name)


def test_files_that_cannot_be_read(folder: Path) -> None:
    with pytest.raises(CorpusError, match="No such file"):
        read_own(folder / "gone.csv")
    with pytest.raises(CorpusError, match=r"is no file of questions → write .csv"):
        read(folder, "", "own.xlsx")
    with pytest.raises(CorpusError, match="is no list of objects"):
        read(folder, '{"a": 1}', "own.json")
    (folder / "own.csv").write_bytes("question,answer\nGröße?,yes\n".encode("latin-1"))
    with pytest.raises(CorpusError, match=r"no utf-8 text|not utf-8"):
        read_own(folder / "own.csv")


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.text(max_size=8), st.lists(st.text(max_size=5), max_size=2)
)
ROLES = st.sampled_from([name for names in NAMES.values() for name in names])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.dictionaries(ROLES, VALUES, max_size=6), max_size=4))
def test_any_row_is_a_question_or_one_clear_error(folder: Path, rows: list[dict[str, Any]]) -> None:
    try:
        found = read(folder, "\n".join(map(json.dumps, rows)), "own.jsonl")
    except MedragError as error:
        assert error.hint
        return
    assert len(found) == len({one.id for one in found})
    assert len(found) == len(rows) or any(one.kind == "report" and one.study for one in found)  # rows of one study
    assert all(one.group and (one.reference or one.kind == "ranking") for one in found)
    assert all(one.question or one.kind in ("report", "ranking") for one in found)
    assert all(one.reference in ("yes", "no") for one in found if one.kind == "closed")
