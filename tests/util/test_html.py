"""Answers as HTML: complete, self-contained, and safe whatever the retrieved text holds."""

from __future__ import annotations

import dataclasses
import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from some_answers import PASSAGE, PATH, STUDY, chest_answer, hostile_answer

from medrag._util.cards import caution, flow, kind_name, marked, picture
from medrag._util.diagram import diagrams, walk
from medrag._util.html import answer_fragment, answer_page, answer_parts, answer_segments
from medrag.types import Context, Hit, ImageRecord, Passage, Query, Study, Triple

VOID = {"meta", "img", "line", "path", "rect", "br"}


class Reader(HTMLParser):
    """Collects tags, ids, links and text, and checks that tags are closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags, self.ids, self.links, self.images, self.words, self._open = [], [], [], [], [], []
        self.feed(text)
        assert not self._open, f"never closed: {self._open}"

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.tags.append((tag, values))
        self.ids += [values["id"]] if "id" in values else []
        self.links += [values["href"]] if tag == "a" else []
        self.images += [values] if tag == "img" else []
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self._open.pop() == tag

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.words.append(data)


@pytest.fixture(scope="module")
def page():
    return answer_page([chest_answer(), hostile_answer()], "Two answers")


def test_every_chip_leads_to_a_card_and_ids_are_unique(page):
    read = Reader(page)
    assert len(read.ids) == len(set(read.ids))
    assert {"#q1-E1", "#q1-E2", "#q1-E3"} <= set(read.links)
    assert {link[1:] for link in read.links} <= set(read.ids)


def test_the_page_reaches_nothing_outside_itself(page):
    read = Reader(page)
    assert all(image["src"].startswith("data:image/jpeg;base64,") for image in read.images)
    assert not {tag for tag, _ in read.tags} & {"script", "link", "iframe", "object", "form", "base"}
    policy = next(
        values["content"] for tag, values in read.tags if values.get("http-equiv") == "Content-Security-Policy"
    )
    assert "default-src 'none'" in policy
    assert "url(" not in page and "@import" not in page


def test_retrieved_markup_is_shown_not_obeyed(page):
    read = Reader(page)
    assert "<script" not in page
    assert not [values for _, values in read.tags if "onerror" in values]
    assert '<script>alert("x")</script>' in "".join(read.words)
    assert "\u202e" not in page and "\x00" not in page


def test_labels_are_cleaned_and_escaped_once():
    study = Study("s:1", {"findings": "Clear."}, labels=("a\u202eb", "<b> & c"))
    answer = dataclasses.replace(chest_answer(), context=Context(Query("q"), (Hit(study, 1.0, 1, "similar"),)))
    page = answer_page([answer], "t")
    assert "Labels: ab, &lt;b&gt; &amp; c" in page


@given(st.text(max_size=40))
def test_no_text_breaks_out_of_its_place(text):
    answer = chest_answer(text=text, reason=text, model=text)
    read, usual = Reader(answer_page([answer], text)), Reader(answer_page([chest_answer(reason="x")], "x"))
    links = {"a"}  # there where the text has a key
    assert {tag for tag, _ in read.tags} - links == {tag for tag, _ in usual.tags} - links


def test_images_have_words_for_those_who_do_not_see_them(page):
    assert all(image["alt"] for image in Reader(page).images)


def test_the_page_says_status_route_drops_times_and_the_rule(page):
    for words in (
        "Answered from evidence",
        "Uncited",
        "chest-xray",
        "94 %",
        "Found but not used: 1",
        "below the floor",
        "generate",
        "21 ms",
        "support 83 %",
        "Graph path",
        "UMLS C0153676, C0024121, C0149726",
        "Read, not cited: 1",
        "another case",
        "Research and education only",
    ):
        assert words in page


def test_the_quote_is_marked_in_its_text(page):
    assert re.search(r"<mark>Multiple round masses of differing size favour metastases</mark> over", page)


def test_the_image_of_the_question_is_at_most_640_pixels():
    import base64
    import io

    source = Reader(answer_page([chest_answer()], "t")).images[0]["src"]
    image = Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2])))
    assert image.size == (640, 498)


def test_fragment_is_scoped_and_two_answers_do_not_share_ids():
    one, two = answer_fragment(chest_answer()), answer_fragment(chest_answer(text="No masses [E1]."))
    assert not set(Reader(one).ids) & set(Reader(two).ids)
    style = re.search(r"<style>(.*?)</style>", one, re.S).group(1)
    rules = [rule for rule in re.findall(r"([^{}]+)\{", re.sub(r"@media[^{]*", "", style)) if rule.strip()]
    assert rules and all(part.strip().startswith(".medrag") for rule in rules for part in rule.split(","))


def test_segments_link_known_keys_only():
    answer = chest_answer(text="A [E1, E2] b [E9] c [E1x].")
    assert [key for _, key in answer_segments(answer) if key] == ["E1", "E2"]
    assert "".join(words for words, _ in answer_segments(answer)) == "A E1E2 b E9 c [E1x]."


def test_a_missing_or_broken_file_gives_a_card_without_picture(tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    for source in ("", str(tmp_path / "gone.png"), str(broken), str(tmp_path)):
        assert picture(ImageRecord("a:i", "a", "x", source), ()) is None
    assert Reader(answer_page([chest_answer(source=str(broken))], "t")).images  # the question's image is still there


def test_a_study_shows_its_image(tmp_path):
    path = tmp_path / "film.png"
    Image.new("L", (300, 200), 80).save(path)
    shown = picture(Study("a:s", {}, meta={"paths": [str(path)]}), ())
    assert shown and shown["src"].startswith("data:image/jpeg") and shown["alt"] == "Image of a:s"
    assert picture(STUDY, ()) is None


def test_a_study_is_a_similar_case_only_when_its_image_was_found():
    assert kind_name(STUDY, Hit(STUDY, 0.8, 1, "similar")) == "Similar case"
    assert kind_name(STUDY, Hit(STUDY, 0.1, 1, "fused", (Hit(STUDY, 0.8, 2, "reports"),))) == "Report"


def test_only_examinations_are_marked_as_other_cases():
    assert caution(Passage("openi:1~0", "openi:1", "Clear.", section="findings")) == "another case"
    assert not caution(Passage("a:b", "a", "x", title="Primer", section="Findings", page=3))
    assert caution(STUDY) and caution(ImageRecord("a:i", "a", "", "x.png"))
    assert not caution(PASSAGE) and not caution(ImageRecord("a:f", "a", "", "x.pdf", page=2))


@given(st.text("ab .\n", max_size=30), st.lists(st.text("ab .\n", max_size=6), max_size=3))
def test_no_quote_and_no_text_is_lost(text, quotes):
    said, rest = marked(text, " … ".join(quotes))
    wanted = {" ".join(words) for quote in " … ".join(quotes).split(" … ") if (words := quote.strip(" .…").split())}
    shown = " ".join(" ".join(piece.split()) for piece, quoted in said if quoted)
    assert all(one.lower() in shown.lower() or any(one in other for other in wanted - {one}) for one in wanted)
    unquoted_first = "".join(piece for piece, quoted in said if not quoted or piece in text) + rest
    assert all(word in unquoted_first for word in text.split())


def test_quotes_with_other_blanks_and_case():
    assert marked("One. TWO\n three. Four", "two three")[0] == [
        ("One. ", False),
        ("TWO\n three", True),
        (". Four", False),
    ]
    assert marked("One. Two. Three.", "Three. … One.")[0] == [
        ("", False), ("One", True), (". Two. ", False), ("Three", True), (".", False),
    ]  # fmt: skip
    assert marked("One.", "absent words")[0] == [("absent words", True), ("\nOne.", False)]
    assert marked("One.", "") == ([("One.", False)], "")


def test_layout_breaks_do_not_stay_in_the_text():
    assert flow("broken\nline. End.\nNew: x\n\npara") == "broken line. End.\nNew: x\n\npara"


def test_a_path_has_its_nodes_in_order_with_cuis():
    row, column = diagrams(PATH)
    assert [node["name"] for node in row["nodes"]] == ["lung metastasis", "lung neoplasm", "pulmonary mass"]
    assert [node["code"] for node in column["nodes"]] == ["C0153676", "C0024121", "C0149726"]
    assert row["width"] > row["height"] and column["height"] > row["height"]


def test_a_step_walked_backwards_points_back():
    rows = [("b", "is_a", "a"), ("b", "has_finding", "c"), ("d", "is_a", "c")]
    steps = [dict(zip(("subject", "relation", "object"), row, strict=True)) for row in rows]
    triple = Triple("t", "t", "a", "path", "d", meta={"steps": steps})
    nodes, links = walk(triple)
    assert [name for name, _ in nodes] == ["a", "b", "c", "d"]
    assert [link["back"] for link in links] == [True, False, True]
    (only,) = diagrams(triple)  # three arrows do not fit side by side
    assert only["layout"] == "only"
    assert [arrow["tip_y"] == arrow["y1"] for arrow in only["arrows"]] == [True, False, True]


def test_a_negated_statement_is_dashed():
    row, _ = diagrams(Triple("t", "t", "a", "has", "b", polarity="absent"))
    assert row["arrows"][0]["dashed"]
    assert [node["name"] for node in row["nodes"]] == ["a", "b"]


def test_conflicts_stand_under_the_answer_once_and_escaped():
    said = "conflict on 'Is there a <mass>?': E1 for it, E2 against it"
    trace = (
        {"step": 1, "tool": "search_text", "conflicts": [said]},
        {"step": 2, "tool": "answer", "conflicts": [said]},
    )
    page = answer_page([chest_answer(trace=trace)], "A page")
    above, _, _ = page.partition("Taken as")
    assert above.count("E1 for it, E2 against it") == 1 and "&lt;mass&gt;" in above
    Reader(page)
    assert 'class="conflicts"' not in answer_page([chest_answer()], "A page")
    parts = answer_parts(chest_answer(trace=trace), "a1")
    assert "E2 against it" in parts["said"] and 'id="a1-E1"' in parts["evidence"] and "Time and model" in parts["rest"]
    assert "<style" not in "".join(parts.values())
