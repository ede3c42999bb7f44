"""Does the evidence bear what an answer says? Claims against their citations, copying, and reliance on what was retrieved.

A claim is a sentence; it is borne out where one sentence of a cited item holds most of its content words and says of each
shared word the same: there, not there, or left open. That is a rule over words, not entailment: it knows no synonyms, and a
claim that is true but not cited counts as not borne out. Whether the claim answers the question is not judged.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from medrag._util.polarity import Polarity, polarity
from medrag._util.remember import remembered
from medrag._util.text import STOPWORDS, plain_marks, plural, sentences, words
from medrag.prompts import KEYS, listed
from medrag.score.open_answers import normalised
from medrag.score.overlap import means, ratio

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from medrag.score import Rows, Weights
    from medrag.types import Answer

SHARE = 0.6  # of a claim's content words that one sentence must hold
NGRAM = 5
_KEYED = re.compile(rf"\s*{KEYS.pattern}")
_KEYS_BEHIND = re.compile(rf"([.!?])((?:\s*{KEYS.pattern})+)")
_SIDE = re.compile(r"\b(?:left|right|both|bilateral)\b")
_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
# these say whether, not what; XXXX stands where a name was removed
_EMPTY = STOPWORDS | frozenset(
    "yes no not nor none never neither without absent absence negative free denies evidence sign signs resolved cannot longer "
    "possible possibly probable probably likely unlikely suspected suggests suggesting suspicious present identified noted "
    "demonstrated demonstrates found excluded ruled also however but therefore xxxx".split()
)


OWN = re.compile(  # what medrag's answerers say of themselves, not of the patient, and headings
    r"\W*(?:findings|impression)\W*$|this rests on their (?:reports|captions|labels)|drafted from |the sources say|i do not look at|\W*in doubt:|\d+ other findings are too faint to tell|no finding (?:clearly )?comes or goes|reports (?:of look-alike studies )?say otherwise|to the rest of the question the evidence has no answer|the pictures that look most alike have different captions|too few labelled pictures look like "
    r"|^\W*(?:not answered: |no: asked “|asked “|it cites |all right\W*$|you are welcome\W*$|hello\b)"
    r"|(?:likely|uncertain)\b.*\bpictures that look most alike are labelled",
    re.IGNORECASE,
)


class Claim(NamedTuple):
    """A sentence of an answer without its keys, and the keys that it carries."""

    text: str
    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Grounding:
    """claim_support, cited_claims, citation_precision and copy_rate, over all claims of all answers.

    ``claim_support`` is the share of claims that an item they cite bears out, ``cited_claims`` the share with a key,
    ``citation_precision`` the share of those that is borne out, ``copy_rate`` the share of the answers' runs of five words
    that stand word for word in their evidence (all of it, cited or not). An abstention makes no claim.
    """

    name = "grounding"
    share: float = SHARE
    ngram: int = NGRAM

    def rows(self, answers: Sequence[Answer], references: Sequence[object] = ()) -> Rows:
        """(n, 5): claims, cited, borne out, runs of words, copied runs. References are not looked at."""
        return np.array([self._row(answer) for answer in answers], float).reshape(-1, 5)

    def totals(self, rows: Rows, weights: Weights) -> dict[str, NDArray[np.float64]]:
        made, cited, borne, runs, copied = (weights @ rows).T
        return {
            "claim_support": ratio(borne, made),
            "cited_claims": ratio(cited, made),
            "citation_precision": ratio(borne, cited),
            "copy_rate": ratio(copied, runs),
        }

    def _row(self, answer: Answer) -> tuple[float, ...]:
        if answer.status == "abstained":
            return (0.0,) * 5
        texts = {key: hit.item.text for key, hit in answer.context}
        found = claims(answer.text)
        borne = [any(supports(texts[key], c.text, self.share) for key in c.keys if key in texts) for c in found]
        runs = ngrams(_KEYED.sub("", answer.text), self.ngram)
        seen = set().union(*(ngrams(text, self.ngram) for text in texts.values()))
        return len(found), sum(bool(c.keys) for c in found), sum(borne), len(runs), sum(run in seen for run in runs)


@dataclass(frozen=True, slots=True)
class Reliance:
    """What retrieval did to the answers: it misled, it helped, or it was copied without a look at the image.

    With y the truth, a_0 the answer without retrieval, a_r with it, a_n with it but with an unrelated or noised image:
    ``over_reliance`` #{a_0 = y, a_r ≠ y} / #{a_r ≠ y} (RULE, Xia et al. 2024, arXiv 2407.05131), its mirror ``help``
    #{a_0 ≠ y, a_r = y} / #{a_r = y}, and ``copy_reference`` #{a_n = a_r = y} / n (MMed-RAG, arXiv 2410.13085), over the
    examples that have an a_n. ``right`` judges an answer; by default equal words.
    """

    name = "reliance"
    right: Callable[[str, str], bool] = lambda answer, truth: normalised(answer) == normalised(truth)

    def rows(self, answers: Sequence[tuple[str, str, str | None]], references: Sequence[str]) -> Rows:
        """(n, 3) of whether a_0, a_r and a_n are right; NaN where there is no a_n. ``answers``: (a_0, a_r, a_n or None)."""
        pairs = zip(answers, references, strict=True)
        return np.array(
            [[np.nan if a is None else self.right(a, truth) for a in told] for told, truth in pairs], float
        ).reshape(-1, 3)

    def totals(self, rows: Rows, weights: Weights) -> dict[str, NDArray[np.float64]]:
        alone, helped, unseen = rows.T
        return {
            "over_reliance": ratio(weights @ (alone * (1 - helped)), weights @ (1 - helped)),
            "help": ratio(weights @ ((1 - alone) * helped), weights @ helped),
            **means(("copy_reference",), (unseen * helped)[:, None], weights),
        }


def claims(text: str) -> list[Claim]:
    """The sentences of an answer that say something of the patient; a key behind the full stop belongs to the sentence before it."""
    return [one for one, _ in statements(text) if stances(one.text) and not OWN.match(one.text)]


def statements(text: str) -> list[tuple[Claim, str]]:
    """All sentences of an answer, a bare yes or no too, each with its words as they stand."""
    found = sentences(_KEYS_BEHIND.sub(r"\2\1", text))
    return [(Claim(" ".join(_KEYED.sub("", one).split()), tuple(_keys(one))), one) for one in found]


def supports(evidence: str, claim: str, share: float = SHARE) -> bool:
    """Whether one sentence of the evidence holds ``share`` of the claim's content words and agrees on each that it holds.

    >>> supports("There is a small left pleural effusion. Clear lungs.", "A left effusion is present.")
    True
    >>> supports("No pleural effusion.", "There is a pleural effusion.")
    False
    >>> supports("A mass in the right lung.", "There is a mass in the left lung.")
    False
    """
    wanted = stances(claim)
    if not wanted:
        return False
    for sentence in sentences(evidence):
        said = stances(sentence)
        shared = wanted.keys() & said.keys()
        agreed = len(shared) >= share * len(wanted) and all(wanted[word] == said[word] for word in shared)
        if agreed and not apart(claim, sentence):
            return True
    return False


def apart(one: str, other: str) -> bool:
    """Whether one sentence speaks of the left alone, the other of the right alone.

    >>> apart("A left effusion.", "Fluid on the right."), apart("A left effusion.", "Both sides, more on the right.")
    (True, False)
    """
    sides, others = (set(_SIDE.findall(text.lower())) for text in (one, other))
    return {frozenset(sides), frozenset(others)} == {frozenset({"left"}), frozenset({"right"})}


def ngrams(text: str, n: int = NGRAM) -> list[tuple[str, ...]]:
    """Runs of n words within the text, lower case, in order."""
    found = words(text)
    return [tuple(found[start : start + n]) for start in range(len(found) - n + 1)]


@remembered(4096)
def stances(sentence: str, start: int = 0) -> dict[str, Polarity]:
    """What the sentence says of each content word from ``start`` on; of a word that stands twice, the first time counts.

    >>> stances("No effusion, but a mass.")
    {'effusion': 'absent', 'mass': 'present'}
    """
    found: dict[str, Polarity] = {}
    sentence = plain_marks(sentence)
    for match in _WORD.finditer(sentence, start):
        word = match.group().lower()
        if word not in _EMPTY and not word.endswith("n't"):
            found.setdefault(_singular(word), polarity(sentence, match.span()))
    return found


def _singular(word: str) -> str:
    return word[:-1] if len(word) > 4 and plural(word) else word


def _keys(sentence: str) -> Iterator[str]:
    for group in KEYS.finditer(sentence):
        yield from listed(group[1])
