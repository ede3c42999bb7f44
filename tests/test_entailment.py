"""A classifier of inference is asked of what the rules leave open: the genuine class with made-up weights that always say one thing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from medrag import MedRAG
from medrag.agent.graph import Agent
from medrag.entailment import CLASSES, Entailment
from medrag.errors import ModelMissing, SettingsError
from medrag.grounding import checked
from medrag.route import DomainRouter
from medrag.score.checked import Checked
from medrag.select import AdaptiveSelector
from medrag.settings import PipelineSettings
from medrag.testing import FakeGenerator, ListRetriever
from medrag.types import Context, Hit, Passage, Query

TEXT = "Statins lower cholesterol in adults. They are taken at night."
CLAIM = "People sleep before the tablet works."


def classifier(folder: Path, says: str, names: tuple[str, ...] = ("Contradiction", "entailment", "NEUTRAL")) -> str:
    """A small BERT whose head says one class whatever it reads; the classes in an order of its own."""
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizer

    folder.mkdir(parents=True)
    letters = [chr(n) for n in range(ord("a"), ord("z") + 1)]
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{letter}" for letter in letters)]
    (folder / "vocab.txt").write_text("\n".join(pieces))
    BertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
    shape = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    labels = {"id2label": dict(enumerate(names)), "label2id": {name: n for n, name in enumerate(names)}}
    torch.manual_seed(0)
    model = BertForSequenceClassification(BertConfig(vocab_size=len(pieces), num_labels=len(names), **shape, **labels))
    with torch.no_grad():
        model.classifier.weight.zero_()
        model.classifier.bias.copy_(torch.tensor([9.0 * (name.lower() == says) for name in names]))
    model.save_pretrained(folder)
    return str(folder)


def passage() -> Context:
    return Context(Query("What do statins do?"), (Hit(Passage("a:1~0", "a:1", TEXT), 1.0, 1, "dense"),))


@pytest.mark.parametrize(
    ("says", "verdict"), [("entailment", "supported"), ("contradiction", "contradicted"), ("neutral", "absent")]
)
def test_what_the_rules_leave_open_is_inferred(tmp_path: Path, says: str, verdict: str) -> None:
    infers = Entailment(classifier(tmp_path / "nli", says))
    assert checked(CLAIM, passage())[0].verdict == "absent"
    (found,) = checked(CLAIM, passage(), infers=infers.check)
    assert (found.verdict, bool(found.quote)) == (verdict, verdict != "absent")
    assert infers.bears_out(TEXT, CLAIM) == (says == "entailment")


def test_its_probabilities_are_those_of_the_class_itself(tmp_path: Path) -> None:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folder = classifier(tmp_path / "nli", "entailment")
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    pairs = [("a b c", "d"), ("e", "f g h i"), ("j k", "l")]
    found = Entailment(folder, batch=2).probabilities(pairs)
    with torch.no_grad():
        tokens = AutoTokenizer.from_pretrained(folder)(
            *map(list, zip(*pairs, strict=True)), padding=True, return_tensors="pt"
        )
        wanted = model(**tokens).logits.softmax(-1)[:, [1, 2, 0]].numpy()
    assert found.shape == (3, len(CLASSES)) and found == pytest.approx(wanted, abs=1e-6)


def test_no_network_bears_out_a_number_that_is_not_told(tmp_path: Path) -> None:
    infers = Entailment(classifier(tmp_path / "nli", "entailment"))
    assert infers.check("Statins lower it by 40 %.", TEXT) == Checked("absent")
    assert infers.check("", TEXT) == infers.check(CLAIM, "") == Checked("absent")


def test_what_the_rules_decided_stays(tmp_path: Path) -> None:
    infers = Entailment(classifier(tmp_path / "nli", "contradiction"))
    (found,) = checked("Statins lower cholesterol in adults.", passage(), infers=infers.check)
    assert found.verdict == "supported"


def pipeline(reply: str = f"{CLAIM} [E1]", **settings: Any) -> MedRAG:
    found = {"dense": ListRetriever([Passage("a:1~0", "a:1", TEXT)], "dense")}
    generator = FakeGenerator((reply,))
    return MedRAG(found, DomainRouter(list(found)), AdaptiveSelector(), generator, PipelineSettings(**settings))


def test_a_pipeline_and_its_search_loop_ask_the_classifier_that_is_named(tmp_path: Path) -> None:
    folder = classifier(tmp_path / "nli", "entailment")
    plain, named = pipeline(), pipeline(entailment=folder)
    question = "What do statins do to cholesterol?"
    assert [one.verdict for one in plain.answer(None, question).claims] == ["absent"]
    assert [one.verdict for one in named.answer(None, question).claims] == ["supported"]
    assert plain.calibrated_for["settings"] != named.calibrated_for["settings"]
    assert Agent(plain)._entails is None
    assert (entails := Agent(named)._entails) and entails(TEXT, CLAIM)
    assert Agent(named, entails=lambda evidence, claim: False)._entails(TEXT, CLAIM) is False  # type: ignore[misc]
    kept = pipeline(entailment=folder, unsupported="remove").answer(None, question)
    assert (
        kept.text.startswith(CLAIM[:-1]) and pipeline(unsupported="remove").answer(None, question).status == "abstained"
    )


class Searches:
    """A policy that searches for each of these words, then answers."""

    name = "searches"

    def __init__(self, *queries: str) -> None:
        self.queries = queries

    def decide(self, state: Any, tools: Any, left: int, images: Any = ()) -> tuple[Any, dict[str, Any]]:
        n = len(state["trace"])
        name, args = ("answer", {}) if n == len(self.queries) else ("search_text", {"query": self.queries[n]})
        return {"name": name, "args": args}, {}


@pytest.mark.parametrize(
    ("says", "query", "kept"),
    [
        ("neutral", "statins cholesterol", True),
        ("neutral", "Statins lower cholesterol.", True),
        ("neutral", "Statins lower cholesterol and prevent infarction and stroke.", False),
        ("entailment", "Statins lower cholesterol and prevent infarction and stroke.", True),
        ("entailment", "Statins do not lower cholesterol.", False),
    ],
    ids=[
        "words that are searched for state nothing",
        "the rules bear it out",
        "refused",
        "inferred",
        "the rules deny it",
    ],
)
def test_the_search_loop_asks_of_statements_that_the_rules_leave_open(
    tmp_path: Path, says: str, query: str, kept: bool
) -> None:
    rag = pipeline(entailment=classifier(tmp_path / "nli", says))
    answer = Agent(rag, policy=Searches(query)).answer(None, "What do statins do to cholesterol?")
    assert [bool(row.get("kept")) for row in answer.trace[:1]] == [kept]
    reasons = {one["reason"] for one in answer.trace[0]["dropped"]}
    assert reasons == (set() if kept else {"it does not bear out the statement"})


def test_the_share_of_claims_that_are_borne_out_counts_what_the_rules_found(tmp_path: Path) -> None:
    rag = pipeline("Statins lower cholesterol in adults [E1].", entailment=classifier(tmp_path / "nli", "neutral"))
    answer = rag.answer(None, "What do statins do to cholesterol?", agent=True)
    assert [one.verdict for one in answer.claims] == ["supported"]
    assert (answer.usage["claims"], answer.usage["supported_claims"]) == (1, 1)


def test_what_is_no_such_classifier_is_told(tmp_path: Path) -> None:
    other = classifier(tmp_path / "other", "good", ("bad", "good"))
    with pytest.raises(SettingsError, match="has the classes bad, good → name a classifier with entailment"):
        Entailment(other).check(CLAIM, TEXT)
    with pytest.raises(ModelMissing, match="medrag models get some/nli"):
        Entailment("some/nli")
    with pytest.raises(SettingsError, match="no model is named"):
        Entailment("some-nli")
