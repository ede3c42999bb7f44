"""Evidence stays data: whatever it holds, it neither ends its own block nor speaks with our keys."""

import re

from hypothesis import given
from hypothesis import strategies as st

from medrag.prompts import KEYS, evidence_block, make_prompt
from medrag.types import Context, Hit, Passage, Query

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
