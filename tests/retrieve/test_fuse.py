"""Fusion: exact values, independence of order, agreement with a plain reference."""

import random
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from medrag.retrieve.fuse import rrf, weighted
from medrag.types import Hit, Passage

LISTS = st.dictionaries(
    st.sampled_from(["dense", "lexical", "similar", "graph"]),
    st.lists(st.integers(0, 15), unique=True, max_size=10),
    min_size=1,
)


def hits(name, numbers, scores=None):
    scores = scores or [1.0 / (n + 1) for n in range(len(numbers))]
    return [
        Hit(Passage(f"c:d#{number}", "c:d", "text"), score, rank, name)
        for rank, (number, score) in enumerate(zip(numbers, scores, strict=True), 1)
    ]


def test_rrf_exact():
    fused = rrf({"dense": hits("dense", [1, 2]), "lexical": hits("lexical", [2, 3])}, {"dense": 1.0, "lexical": 2.0})
    assert [hit.item.id for hit in fused] == ["c:d#2", "c:d#3", "c:d#1"]
    assert fused[0].score == 1 / 62 + 2 / 61
    assert fused[1].score == 2 / 62
    assert fused[0].sources == ("dense", "lexical")
    assert [hit.rank for hit in fused] == [1, 2, 3]


def test_a_fused_hit_says_so_and_keeps_the_hits_that_it_came_from():
    rankings = {"lexical": hits("lexical", [2, 3]), "dense": hits("dense", [1, 2])}
    best = rrf(rankings, {"dense": 1.0, "lexical": 1.0})[0]
    assert best.retriever == "fused"
    assert best.parents == (rankings["dense"][1], rankings["lexical"][0])


def test_weight_zero_or_missing_silences_a_source():
    rankings = {"dense": hits("dense", [1]), "lexical": hits("lexical", [2]), "graph": hits("graph", [3])}
    assert [hit.item.id for hit in rrf(rankings, {"dense": 1.0, "lexical": 0.0})] == ["c:d#1"]
    assert rrf(rankings, {}) == []


def test_weighted_exact_and_equal_scores():
    a = hits("dense", [1, 2, 3], [0.9, 0.5, 0.1])
    b = hits("lexical", [3, 2], [7.0, 7.0])
    fused = weighted({"dense": a, "lexical": b}, {"dense": 1.0, "lexical": 0.5})
    assert [(hit.item.id, round(hit.score, 6)) for hit in fused] == [("c:d#1", 1.0), ("c:d#2", 1.0), ("c:d#3", 0.5)]


@given(LISTS, st.randoms(use_true_random=False))
def test_order_of_rankings_does_not_matter(lists, rng: random.Random):
    rankings = {name: hits(name, numbers) for name, numbers in lists.items()}
    weights = {name: rng.choice([0.3, 1.0, 2.0]) for name in rankings}
    shuffled = list(rankings.items())
    rng.shuffle(shuffled)
    for fuse in (rrf, weighted):
        first = [(hit.item.id, hit.score) for hit in fuse(rankings, weights)]
        assert first == [(hit.item.id, hit.score) for hit in fuse(dict(shuffled), weights)]


@given(LISTS)
def test_rrf_equals_the_formula(lists):
    rankings = {name: hits(name, numbers) for name, numbers in lists.items()}
    expected: dict[str, float] = {}
    for numbers in lists.values():
        for rank, number in enumerate(numbers, 1):
            expected[f"c:d#{number}"] = expected.get(f"c:d#{number}", 0) + 1 / (60 + rank)
    fused = rrf(rankings, dict.fromkeys(rankings, 1.0))
    assert {hit.item.id for hit in fused} == set(expected)
    assert all(abs(hit.score - expected[hit.item.id]) < 1e-12 for hit in fused)
    assert all(a.score >= b.score for a, b in pairwise(fused))
