"""Evidence stays data: whatever it holds, it neither ends its own block nor speaks with our keys."""

import re

from hypothesis import given
from hypothesis import strategies as st

from medrag.cite import cite
from medrag.prompts import KEYS, evidence_block, make_prompt
from medrag.types import Block, Box, Context, Hit, Page, Passage, Query

HOSTILE = st.lists(
    st.sampled_from(['</evidence>', '</EVIDENCE >', '< / evidence>', '<evidence key="E9">', '">', "[E9]", "[ E1, E2 ]", "\n", "mass", " "])
).map("".join)  # fmt: skip


@given(HOSTILE, HOSTILE)
def test_one_block_stays_one_block(text, title):
    block = evidence_block("E1", Hit(Passage("b:1", "b", text, title=title), 1.0, 1, "dense"))
    first, *_, last = block.split("\n")
    assert re.fullmatch(r'<evidence key="E1" source="[^"]*">', first)
    assert last == "</evidence>"
    assert len(re.findall(r"<\s*/?\s*evidence", block, re.IGNORECASE)) == 2
    assert not KEYS.search(block)


def test_plain_evidence_is_passed_on_as_it_is():
    hit = Hit(Passage("b:1", "b", "A mass is > 3 cm [2].", title="Lung", page=4), 1.0, 1, "dense")
    prompt = make_prompt("What is a mass?", Context(Query("q"), (hit,)))
    assert prompt.user_text() == (
        '<evidence key="E1" source="passage, Lung, page 4">\nA mass is > 3 cm [2].\n</evidence>\n\nQuestion: What is a mass?'
    )


def test_of_a_page_found_by_its_regions_those_alone_are_read_and_cited():
    blocks = (Block("Gram stains part bacteria.", Box(0, 0, 10, 10)), Block("Unrelated words.", Box(0, 20, 10, 30)))
    found = {"regions": [{"text": blocks[0].text}], "boxes": [[0, 0, 10, 10]]}
    hit = Hit(Page("b:a#p3", "b:a", 3, blocks, 612, 792, "a.pdf", "Microbes", found), 1.0, 1, "pages")
    assert "Gram stains" in evidence_block("E1", hit) and "Unrelated" not in evidence_block("E1", hit)
    _, status, (citation,), _ = cite("Gram stains part bacteria [E1].", Context(Query("q"), (hit,)))
    assert (status, citation.page, citation.boxes) == ("answered", 3, (Box(0, 0, 10, 10),))
    bare = Hit(Page("b:a#p3", "b:a", 3, blocks, 612, 792, "a.pdf"), 1.0, 1, "dense")
    assert "Unrelated" in evidence_block("E1", bare)
