"""Rewards for reinforcement learning from answers and from searches: pure functions, each between −1 and 1.

Of an answer: is it right, is it well formed, do its citations bear it out, and was what was retrieved used well. Of a search: how early
it found what matters (NDCG), whether its steps keep to the pattern, and, mixed with the answer, VRAG-RL's reward (arXiv 2505.22019); and whether
the right tool was called with the right arguments, which is what the router of Patho-AgenticRAG (arXiv 2508.02258) is trained for. The papers'
weights are parameters here, and the defaults are medrag's own. It knows no trainer; `medrag.tune.grpo` hands the first four to TRL.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from medrag.prompts import KEYS, unkeyed
from medrag.score.closed import abstains, parse
from medrag.score.factuality import factuality_score
from medrag.score.grounding import claims, supports
from medrag.score.open_answers import token_f1
from medrag.score.reliance import SHORT, right

Kind = Literal["closed", "open", "report"]
Evidence = Mapping[str, str]  # key (E1, E2, …) → text
Call = Mapping[str, Any]  # {"name": …, "arguments": {…}}
_BRACKETS = re.compile(r"\[[^\[\]]*\bE\d+[^\[\]]*\]")
_KEY = re.compile(r"E\d+")
_STEP = re.compile(r"<(think|search|region|answer)>(.*?)</\1>", re.DOTALL)


def answer_reward(answer: str, reference: str) -> float:
    """0 to 1: right or wrong for yes and no; 1 or token F1 for a short answer; factuality for a report.

    >>> answer_reward("No, the lungs are clear.", "no"), answer_reward("It may be.", "no")
    (1.0, 0.0)
    """
    if right(answer, reference) and len(reference.split()) <= SHORT:
        return 1.0
    if reference.strip().lower() in ("yes", "no"):
        return 0.0
    return token_f1(answer, reference) if len(reference.split()) <= SHORT else factuality_score(answer, reference)


def format_reward(answer: str, kind: Kind, evidence: Evidence) -> float:
    """1 for an answer that a program can read, else 0.

    It says something; a closed one says yes or no, and one that abstains does so alone; its keys are written as keys and name evidence
    that is there.
    """
    if not unkeyed(answer).strip():
        return 0.0
    malformed = [group for group in _BRACKETS.findall(answer) if not KEYS.fullmatch(group)]
    invented = set(_KEY.findall(" ".join(_BRACKETS.findall(answer)))) - evidence.keys()
    unread = kind == "closed" and not parse(answer) and not abstains(answer)
    return 0.0 if malformed or invented or unread else 1.0


def citation_reward(answer: str, evidence: Evidence) -> float:
    """−1 to 1, mean over the answer's claims: 1 where a cited item bears a claim out, −1 where it cites and none does, 0 without a key.

    0 for an answer without claims.
    """
    made = claims(answer)
    values = [
        0.0 if not one.keys else 1.0 if any(supports(evidence.get(key, ""), one.text) for key in one.keys) else -1.0
        for one in made
    ]
    return sum(values) / len(values) if values else 0.0


def use_reward(answer: str, reference: str, without: str) -> float:
    """What retrieval did to the answer, given the answer ``without`` it: 1 it helped, −1 it misled, 0 it changed nothing.

    So a policy gains by following evidence where it helps and by leaving it where its own answer was right.
    """
    return float(right(answer, reference)) - float(right(without, reference))


def ranking_reward(found: Sequence[str], relevant: Sequence[str]) -> float:
    """0 to 1: NDCG of everything that was found, in order, over all searches; what comes a second time gains nothing but takes a place.

    Binary grades, log₂ discount (Järvelin and Kekäläinen 2002). 0 where nothing is relevant.
    """
    wanted, gained = set(relevant), 0.0
    for rank, name in enumerate(found, 1):
        if name in wanted:
            wanted.discard(name)
            gained += 1 / math.log2(rank + 1)
    best = sum(1 / math.log2(rank + 1) for rank in range(1, len(set(relevant)) + 1))
    return gained / best if best else 0.0


def pattern_reward(turns: Sequence[str]) -> float:
    """1 where every turn is one thought and one action, <think>…</think><search|region|answer>…</…>, and the last, alone, answers; else 0."""
    actions = []
    for turn in turns:
        steps = [(match[1], match[2].strip()) for match in _STEP.finditer(turn)]
        whole = not _STEP.sub("", turn).strip() and all(text for _, text in steps)
        if not whole or len(steps) != 2 or steps[0][0] != "think" or steps[1][0] == "think":
            return 0.0
        actions.append(steps[1][0])
    return float(bool(actions) and actions[-1] == "answer" and "answer" not in actions[:-1])


def search_reward(
    turns: Sequence[str], found: Sequence[str], relevant: Sequence[str], reference: str, *,
    ranking: float = 0.2, answer: float = 0.7, pattern: float = 0.1,
) -> float:  # fmt: skip
    """A whole search: weighted sum of NDCG, the last turn's answer and the pattern; without the pattern, the answer counts nothing.

    Raises ValueError for weights that are negative or do not sum to 1.
    """
    shares = (ranking, answer, pattern)
    if min(shares) < 0 or abs(sum(shares) - 1) > 1e-9:
        raise ValueError(f"the weights {shares} are no shares of 1")
    kept = pattern_reward(turns)
    said = next((match[2].strip() for match in _STEP.finditer(turns[-1]) if match[1] == "answer"), "") if turns else ""
    return ranking * ranking_reward(found, relevant) + pattern * kept + answer * kept * answer_reward(said, reference)


def call_reward(calls: Sequence[Call], wanted: Sequence[Call]) -> float:
    """−1 to 1: how well tool calls match those that were wanted, whatever their order; 1 only for the very same.

    Each pair of calls of one name scores half for its arguments' names (Jaccard) and half for the share of wanted arguments of the right value;
    the best pairing counts. The mean is over the longer list, so a call too many costs as much as one that is missing. No call where none
    is wanted is 1, calls where none is wanted −1.
    """
    if not wanted:
        return -1.0 if calls else 1.0
    if not calls:
        return -1.0
    import numpy as np
    from scipy.optimize import linear_sum_assignment

    scores = np.array([[_alike(call, other) for other in wanted] for call in calls])
    rows, columns = linear_sum_assignment(-scores)
    return float(2 * scores[rows, columns].sum() / max(len(calls), len(wanted)) - 1)


def _alike(call: Call, wanted: Call) -> float:
    """0 to 1; 0 for another tool."""
    if call.get("name") != wanted.get("name"):
        return 0.0
    given, asked = call.get("arguments") or {}, wanted.get("arguments") or {}
    if not given and not asked:
        return 1.0
    names = len(given.keys() & asked.keys()) / len(given.keys() | asked.keys())
    values = [name in given and bool(_plain(given[name]) == _plain(value)) for name, value in asked.items()]
    return (names + sum(values) / max(1, len(values))) / 2


def _plain(value: Any) -> Any:
    return " ".join(value.lower().split()) if isinstance(value, str) else value
