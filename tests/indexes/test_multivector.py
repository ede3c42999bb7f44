"""Late interaction: equal to the double loop, blind to padding, the same after any history, and near it in two stages."""

from __future__ import annotations

import doctest
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medrag.errors import SettingsError
from medrag.indexes import multivector
from medrag.indexes._ragged import Ragged
from medrag.indexes.multivector import MultiVectorIndex, TorchTokens, maxsim

DIM = 12
Matrix = np.ndarray


def unit(rows: Matrix) -> Matrix:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def matrices(seed: int, count: int, most: int = 7, dim: int = DIM) -> list[Matrix]:
    chance = np.random.default_rng(seed)
    return [unit(chance.standard_normal((chance.integers(1, most + 1), dim))) for _ in range(count)]


def halved(rows: Matrix) -> Matrix:
    return rows.astype(np.float16).astype(np.float32)


def naive(query: Matrix, rows: Matrix) -> float:
    """MaxSim as it is written down."""
    total = 0.0
    for q in query:
        best = -float("inf")
        for p in rows:
            best = max(best, sum(float(a) * float(b) for a, b in zip(q, p, strict=True)))
        total += best
    return total


def filled(ids: list[str], pages: list[Matrix], **options: object) -> MultiVectorIndex:
    index = MultiVectorIndex(**options)  # type: ignore[arg-type]
    index.add(ids, pages)
    return index


def names(count: int) -> list[str]:
    return [f"p{n:03d}" for n in range(count)]


def found(index: MultiVectorIndex, query: Matrix, k: int = 50) -> dict[str, float]:
    scores, ids = index.search([query], k)
    return dict(zip(ids[0], scores[0].tolist(), strict=True))


@settings(max_examples=40)
@given(seed=st.integers(0, 10**6), count=st.integers(1, 12))
def test_the_score_is_the_double_loop(seed: int, count: int) -> None:
    pages, (query,) = matrices(seed, count), matrices(seed + 1, 1)
    got = found(filled(names(count), pages), query)
    assert got == pytest.approx(
        {n: naive(query, halved(p)) for n, p in zip(names(count), pages, strict=True)}, abs=1e-4
    )
    assert list(got) == sorted(got, key=lambda name: (-got[name], name))


@settings(max_examples=40)
@given(seed=st.integers(0, 10**6), junk=st.floats(-50, 50), pad=st.integers(1, 9))
def test_what_lies_beside_an_item_never_changes_its_score(seed: int, junk: float, pad: int) -> None:
    """Neighbours of any size and strength take the place that padding has in a rectangular batch."""
    (page,), (query,) = matrices(seed, 1), matrices(seed + 1, 1)
    beside = np.full((pad, DIM), junk, np.float32)
    alone = found(filled(["page"], [page]), query)["page"]
    crowded = found(filled(["before", "page", "after"], [beside, page, beside]), query)["page"]
    assert crowded == pytest.approx(alone, abs=2e-5)
    assert (alone < 0) == (naive(query, halved(page)) < 0) or abs(alone) < 1e-4  # negative scores stay negative


@settings(max_examples=25)
@given(seed=st.integers(0, 10**6), steps=st.lists(st.tuples(st.booleans(), st.integers(0, 9)), max_size=12))
def test_any_history_equals_building_anew(seed: int, steps: list[tuple[bool, int]]) -> None:
    pages, index = matrices(seed, 30), MultiVectorIndex()
    alive: dict[str, Matrix] = {}
    for n, (adds, which) in enumerate(steps):
        name = f"p{which}"
        if adds:
            index.add([name], [pages[n]])
            alive[name] = pages[n]
        else:
            assert index.delete([name]) == (name in alive)
            alive.pop(name, None)
    assert len(index) == len(alive)
    query = pages[29]
    anew = filled(list(alive), list(alive.values()))
    assert found(index, query) == pytest.approx(found(anew, query), abs=2e-5)


@settings(max_examples=25)
@given(seed=st.integers(0, 10**6))
def test_a_batch_is_its_queries_one_by_one(seed: int) -> None:
    index, queries = filled(names(20), matrices(seed, 20)), matrices(seed + 1, 4)
    scores, ids = index.search(queries, 6)
    for query, row, several in zip(queries, scores, ids, strict=True):
        assert found(index, query, 6) == dict(zip(several, row.tolist(), strict=True))


@pytest.mark.parametrize("tokens", ["float16", "int8"])
def test_saved_and_opened_it_finds_the_same_and_grows(tmp_path: Path, tokens: str) -> None:
    pages, (query,) = matrices(1, 40), matrices(2, 1)
    index = filled(names(40), pages[:40], tokens=tokens, candidates=8)
    index.delete(["p003"])
    index.save(tmp_path)
    again = MultiVectorIndex.open(tmp_path)
    assert found(again, query, 5) == found(index, query, 5)
    assert len(again) == 39
    assert np.array_equal(again.score(query, "p007"), index.score(query, "p007"))
    for one in (index, again):
        one.add(["new"], [query])
    again.save(tmp_path)  # over the file that it reads
    assert found(MultiVectorIndex.open(tmp_path), query, 5) == found(index, query, 5)
    assert next(iter(found(again, query, 5))) == "new"
    empty = tmp_path / "empty"
    MultiVectorIndex().save(empty)
    assert MultiVectorIndex.open(empty).search([query], 3)[1] == [[]]


def test_bytes_stay_near_half_precision() -> None:
    pages, queries = matrices(3, 60, most=30, dim=128), matrices(4, 20, dim=128)
    small, full = (filled(names(60), pages, tokens=kind) for kind in ("int8", "float16"))
    apart = [np.abs(small.score(q, n) - full.score(q, n)).max() for q in queries for n in names(60)]
    assert 0 < max(apart) < 0.005


def test_similarities_name_the_vectors_that_matched() -> None:
    pages, (query,) = matrices(5, 3), matrices(6, 1)
    index = filled(names(3), pages)
    similar = index.score(query, "p001")
    assert similar.shape == (len(query), len(pages[1]))
    np.testing.assert_allclose(similar, query @ pages[1].T, atol=2e-3)
    assert similar.max(axis=1).sum() == pytest.approx(found(index, query)["p001"], abs=2e-5)


def clustered(pages: int, seed: int = 0) -> tuple[list[Matrix], list[Matrix]]:
    """Pages about three of 40 topics, and queries made of a page's own vectors with noise."""
    chance = np.random.default_rng(seed)
    topics = unit(chance.standard_normal((40, 24)))

    def near(rows: Matrix) -> Matrix:
        return unit(rows + 0.15 * chance.standard_normal(rows.shape))

    made = [near(topics[chance.choice(chance.integers(0, 40, 3), chance.integers(4, 20))]) for _ in range(pages)]
    return made, [near(page[:4]) for page in made[:20]]


def test_two_stages_find_what_exhaustive_search_finds() -> None:
    pages, queries = clustered(600)
    full = filled(names(600), pages, candidates=600)
    fast = filled(names(600), pages, candidates=60)
    agreed = [len(set(found(fast, q, 10)) & set(found(full, q, 10))) / 10 for q in queries]
    assert np.mean(agreed) > 0.95
    for query in queries:  # whatever it finds has its exact score
        exact = found(full, query, 600)
        assert all(exact[name] == pytest.approx(score, abs=2e-5) for name, score in found(fast, query, 10).items())


def test_filters_hold_in_both_stages() -> None:
    pages, queries = clustered(300)
    index, ids = filled(names(300), pages, candidates=50), names(300)
    some = ids[:200]
    index.delete([ids[0]])
    for query in queries[:4]:
        scores, (got,) = index.search([query], 20, allowed=some, exclude=[ids[1]])
        assert len(got) == 20 and set(got) <= set(some) - {ids[0], ids[1]}
        assert np.isfinite(scores).all()
        assert index.search([query], 20, allowed=[ids[5]])[1] == [[ids[5]]]
    assert index.search(queries[:2], 5, allowed=[])[1] == [[], []]


def test_centroids_follow_what_is_appended() -> None:
    pages, queries = clustered(400)
    index = filled(names(400)[:250], pages[:250], candidates=60)
    index.search(queries[:1], 3)
    before = index._coarse
    index.add(names(400)[250:], pages[250:])
    full = filled(names(400), pages, candidates=400)
    agreed = [len(set(found(index, q, 10)) & set(found(full, q, 10))) / 10 for q in queries]
    assert np.mean(agreed) > 0.9
    assert index._coarse is before and len(before.codes) == sum(map(len, pages))


def test_torch_scores_what_numpy_scores() -> None:
    pages, queries = clustered(50)
    tokens = Ragged("int8")
    tokens.append(pages)
    torch_side = TorchTokens(tokens, "cpu")
    for query in queries:
        rows, lengths = tokens.gather(np.arange(50))
        np.testing.assert_allclose(torch_side.scores(query), maxsim(query, halved(rows), lengths), atol=1e-4)
    index = filled(names(50), pages)
    index._on_gpu = TorchTokens(index._tokens, "cpu")
    index.delete(["p002"])
    plain = filled(names(50), pages, gpu="never")
    plain.delete(["p002"])
    assert found(index, queries[0]) == pytest.approx(found(plain, queries[0]), abs=2e-5)


def test_a_block_of_zeros_in_the_query_is_not_read() -> None:
    pages = matrices(7, 9)
    query = np.zeros((3, DIM), np.float32)
    query[:, 4:7] = np.random.default_rng(1).standard_normal((3, 3))
    got = found(filled(names(9), pages), query)
    assert got == pytest.approx({n: naive(query, halved(p)) for n, p in zip(names(9), pages, strict=True)}, abs=1e-4)


def same_height(count: int) -> list[Matrix]:
    return [unit(rows) for rows in np.random.default_rng(8).standard_normal((count, 6, DIM))]


def test_the_scorer_of_colpali_engine_agrees() -> None:
    """On items of equal height: its padding with zeros would lift negative similarities."""
    torch = pytest.importorskip("torch")
    processing = pytest.importorskip("colpali_engine.utils.processing_utils")
    pages, queries = [halved(p) for p in same_height(9)], matrices(9, 4)
    theirs = processing.BaseVisualRetrieverProcessor.score_multi_vector(
        [torch.from_numpy(q) for q in queries], [torch.from_numpy(p) for p in pages], device="cpu"
    ).numpy()
    index = filled(names(9), pages)
    for query, row in zip(queries, theirs, strict=True):
        assert found(index, query) == pytest.approx(dict(zip(names(9), row.tolist(), strict=True)), abs=1e-4)


def test_the_scorer_of_transformers_agrees() -> None:
    torch = pytest.importorskip("torch")
    from transformers import ColPaliProcessor

    pages, queries = [halved(p) for p in same_height(9)], matrices(9, 4)
    as_tensors = ([torch.from_numpy(q) for q in queries], [torch.from_numpy(p) for p in pages])
    theirs = ColPaliProcessor.score_retrieval(None, *as_tensors).numpy()
    index = filled(names(9), pages)
    for query, row in zip(queries, theirs, strict=True):
        assert found(index, query) == pytest.approx(dict(zip(names(9), row.tolist(), strict=True)), abs=1e-4)


def test_what_does_not_fit_is_refused() -> None:
    index = filled(["a"], [np.eye(3, dtype=np.float32)])
    with pytest.raises(SettingsError, match="do not fit"):
        index.add(["b"], [np.eye(4, dtype=np.float32)])
    with pytest.raises(SettingsError, match="no vectors"):
        index.add(["b"], [np.zeros((0, 3), np.float32)])
    with pytest.raises(SettingsError, match="one matrix for each id"):
        index.add(["b", "c"], [np.eye(3, dtype=np.float32)])
    with pytest.raises(SettingsError, match="nothing in this index"):
        index.score(np.eye(3, dtype=np.float32), "b")
    with pytest.raises(SettingsError, match="none of"):
        MultiVectorIndex(tokens="float8")  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="1 or more"):
        MultiVectorIndex(candidates=0)
    assert len(index) == 1
    assert index.search([np.zeros((0, 3), np.float32)], 2)[1] == [[]]


def test_its_example_runs() -> None:
    assert doctest.testmod(multivector, extraglobs={"np": np}).failed == 0


def test_it_is_made_where_pymupdf_came_after_faiss() -> None:
    """Both packages are made by SWIG and share its table of C++ types."""
    import subprocess
    import sys

    code = (
        "import faiss, pymupdf, tempfile, pathlib, numpy as np\n"
        "from medrag.indexes.multivector import MultiVectorIndex\n"
        "index, rows = MultiVectorIndex(candidates=8), np.random.default_rng(0).normal(size=(40, 12, 16)).astype('float32')\n"
        "index.add([f'p{n}' for n in range(40)], list(rows / np.linalg.norm(rows, axis=2, keepdims=True)))\n"
        "index.save(pathlib.Path(tempfile.mkdtemp()))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
