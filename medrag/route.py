"""Where to look: the domain of image and question with its confidence, and a weight for each retriever.

Three witnesses are heard: what the file says of itself (DICOM modality and body part), a linear head over the image
embedding, and the words of the question. When the best domain leads the second by less than the margin, no domain is
chosen and every source is asked. Weights that are all 0 mean: do not retrieve.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from medrag._util.text import content_words, words
from medrag.errors import SettingsError
from medrag.types import DOMAINS, SURE, Query, QueryImage, Route
from medrag.vlms._ask import closed_part, defines, parse, plain

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from medrag.retrieve.search import Memo

WORDY = 0.6  # confidence of one telling word in the question

DOMAIN_WORDS: Mapping[str, frozenset[str]] = {
    "chest-xray": frozenset("chest lung lungs pulmonary pleural pneumothorax cardiomegaly costophrenic hilum hilar cxr radiograph diaphragm mediastinum mediastinal thorax rib ribs atelectasis".split()),
    "ct": frozenset("ct tomography hounsfield".split()),
    "mr": frozenset("mri mr t1-weighted t2-weighted diffusion-weighted flair gadolinium".split()),
    "ultrasound": frozenset("ultrasound sonogram sonography echogenic hypoechoic doppler".split()),
    "fundus": frozenset("fundus retina retinal optic macula macular fovea drusen retinopathy microaneurysm microaneurysms glaucoma".split()),
    "dermoscopy": frozenset("dermoscopy dermoscopic naevus nevus melanoma mole".split()),
    "histology": frozenset("histology histological histopathology stain staining stained haematoxylin hematoxylin eosin immunohistochemistry ihc nuclei mitosis mitoses".split()),
    "blood-smear": frozenset("smear erythrocyte erythrocytes leukocyte leukocytes platelet platelets neutrophil lymphocyte eosinophil".split()),
}  # fmt: skip
MODALITY_DOMAIN = {
    "CT": "ct",
    "MR": "mr",
    "US": "ultrasound",
    "OP": "fundus",
    "OPT": "fundus",
    "SM": "histology",
    "ES": "other",
}
CHEST = ("CHEST", "THORAX", "LUNG")
_MISTER = re.compile(r"\bMrs?\b\.?|\bmrs?\.")  # no magnetic resonance

WEIGHTS: Mapping[str, Mapping[str, float]] = {  # by kind of question
    # a request for a report names no finding: only the image can lead to evidence
    "report": {"dense": 0.0, "lexical": 0.0, "reports": 0.0, "reports-lexical": 0.0, "similar": 1.0, "graph": 0.0},
    "closed": {"dense": 1.0, "lexical": 1.0, "reports": 0.5, "reports-lexical": 0.5, "similar": 1.5, "graph": 1.0},
    "definition": {"dense": 1.0, "lexical": 1.0, "reports": 0.1, "reports-lexical": 0.1, "similar": 0.3, "graph": 1.0},
    "open": {"dense": 1.0, "lexical": 1.0, "reports": 0.5, "reports-lexical": 0.5, "similar": 1.0, "graph": 1.0},
}
CLOSED_STARTS = frozenset("is are was were does do did has have can could".split())


@dataclass(frozen=True, slots=True)
class ImageHead:
    """A softmax over unit image embeddings, and the mean vectors of medical sources to notice what is like none of them.

    What is not medical is noticed twice: the class "other" was trained on everyday pictures, drawings and textures, and a
    picture whose greatest cosine to a mean is under the threshold counts as "other" whatever the softmax says. The threshold
    is where the share KEPT of `pipelines/07_train_router.py` of the medical pictures passes, judged by means that left out
    their own group; `eval/results/router.json` says what that keeps and flags on pictures of other sources.
    """

    labels: tuple[str, ...]
    weight: NDArray[np.float32]  # (classes, d)
    bias: NDArray[np.float32]  # (classes,)
    centroids: NDArray[np.float32]  # (means, d), unit rows; a class may have several
    threshold: float  # least cosine to the nearest mean of a picture that belongs
    encoder: str = ""  # whose embeddings it reads; empty: not known

    @classmethod
    def open(cls, path: Path) -> ImageHead:
        """Reads a safetensors file with weight, bias, centroids, threshold and its labels in the metadata.

        Raises SettingsError for a file that is no such head.
        """
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, framework="numpy") as file:
                tensors = {name: file.get_tensor(name).astype("float32") for name in file.keys()}  # noqa: SIM118 - not a dict
                about = file.metadata() or {}
            labels, threshold = tuple(about["labels"].split(",")), float(tensors["threshold"][0])
            weight, bias, centroids = (tensors[name] for name in ("weight", "bias", "centroids"))
        except (OSError, KeyError, SafetensorError) as error:
            raise SettingsError(f"{path} is no head of a router", "name one, such as router-lite2") from error
        return cls(labels, weight, bias, centroids, threshold, about.get("encoder", ""))

    def probabilities(self, vector: NDArray[np.float32]) -> dict[str, float]:
        """Probability of each domain for one unit vector (d,); all on "other" when it is far from every class."""
        if float((self.centroids @ vector).max()) < self.threshold:
            return {"other": 1.0}
        logits = (self.weight @ vector + self.bias).tolist()
        peak = max(logits)
        exps = [math.exp(logit - peak) for logit in logits]
        return {label: value / sum(exps) for label, value in zip(self.labels, exps, strict=True)}


class DomainRouter:
    """The router described at the top of this file. With ``domain`` every picture is of that, and the head is not asked."""

    def __init__(
        self, retrievers: Sequence[str], margin: float = 0.15, head: ImageHead | None = None, encoder: Memo | None = None,
        overrides: Mapping[str, float] | None = None, domain: str = "",
    ) -> None:  # fmt: skip
        self.retrievers, self.margin = tuple(retrievers), margin
        self.head, self.encoder = head, encoder
        self.overrides, self.domain = dict(overrides or {}), domain

    def route(self, query: Query) -> Route:
        """The domain ("other" when no witness is clear enough), and the weights with the reasons for them."""
        pictures = [*self._file_witness(query), *self._image_witness(query)]
        witnesses = [*pictures, *_word_witness(query)]
        scores = _combine([scores for scores, _ in witnesses])
        domain, confidence, lead = _best(scores)
        reasons = [reason for _, reason in witnesses]
        if domain != "other" and lead < self.margin:
            reasons.append(f"{domain} leads by {lead:.2f} < {self.margin:.2f}: all sources are asked")
            domain = "other"
        kind = question_kind(query.text, bool(query.images))
        kind = "open" if kind == "report" and not query.images else kind
        weights = self._weights(query, kind)
        reasons.append(f"kind of question: {kind}" if query.text.strip() else "no question")
        if self._pointless(query, domain, confidence):
            weights, reasons = (
                dict.fromkeys(weights, 0.0),
                [*reasons, "nothing medical in image or question: no retrieval"],
            )
        return Route(
            domain, round(confidence, 4), weights, tuple(reasons), self._shows(pictures, query.images), self._each(query)
        )  # fmt: skip

    def _each(self, query: Query) -> tuple[str, ...]:
        """What each of several pictures surely is of."""
        if len(query.images) < 2:
            return ()
        alone = [replace(query, images=(image,)) for image in query.images]
        return tuple(self._shows([*self._file_witness(one), *self._image_witness(one)], one.images) for one in alone)

    def _shows(self, witnesses: Sequence[tuple[Mapping[str, float], str]], images: Sequence[QueryImage]) -> str:
        """What file and picture are sure of. A medical file is no everyday picture, and several pictures may differ."""
        domain, confidence, _ = _best(_combine([scores for scores, _ in witnesses]))
        medical = any(image.meta.get("modality") for image in images)
        sure = len(images) == 1 and confidence >= SURE - 1e-9 and not (domain == "other" and medical)
        return domain if sure else ""

    def _weights(self, query: Query, kind: str) -> dict[str, float]:
        weights: dict[str, float] = {}
        for name in self.retrievers:
            looks = name.startswith("similar")  # further names count as the plain source of their sort
            usual = WEIGHTS[kind].get(name, WEIGHTS[kind]["similar" if looks else "dense"])
            sees = looks or name == "pages"  # pages are found by their figures too
            reads = not looks and bool(query.text.strip())
            asked = reads or (sees and bool(query.images))
            weights[name] = self.overrides.get(name, usual) if asked else 0.0
        return weights

    def _pointless(self, query: Query, domain: str, confidence: float) -> bool:
        """An image that is surely of no domain and no medical file, and a question without a telling word."""
        if not query.images:
            return not content_words(query.text)
        medical = self._file_witness(query) or _word_witness(query)
        return domain == "other" and confidence >= SURE and not medical

    def _file_witness(self, query: Query) -> list[tuple[dict[str, float], str]]:
        for image in query.images:
            modality, part = str(image.meta.get("modality", "")).upper(), str(image.meta.get("body_part", "")).upper()
            domain = MODALITY_DOMAIN.get(modality, "")
            if modality in ("CR", "DX", "RG", "XR") and part:
                domain = "chest-xray" if any(name in part for name in CHEST) else "other"
            if domain:
                return [({domain: SURE}, f"the file says {modality}{f', {part}' if part else ''}: {domain}")]
        return []

    def _image_witness(self, query: Query) -> list[tuple[dict[str, float], str]]:
        if query.images and self.domain:
            return [({self.domain: SURE}, f"by the settings every picture is of {self.domain}")]
        if not (query.images and self.head and self.encoder):
            return []
        scores = self.head.probabilities(self.encoder.query(query)[0])
        domain = max(scores, key=lambda name: scores[name])
        return [(scores, f"the image looks like {domain} ({scores[domain]:.2f})")]


def question_kind(text: str, pictured: bool = True) -> str:
    """report, closed, definition or open, from the question's first words. ``pictured``: "what is …" may ask of a picture, and then defines nothing."""
    text = plain(text)
    tokens = words(text)
    if not tokens:
        return "open"
    if tokens[0] in ("write", "generate", "describe", "report", "draft") or parse(text).sort == "report":
        return "report"
    if tokens[0] in CLOSED_STARTS or closed_part(text)[1]:
        return "closed"
    asks = tokens[:2] in (["what", "is"], ["what", "are"], ["what", "does"]) or tokens[0] in ("define", "explain")
    return "definition" if defines(text) or (asks and not pictured) else "open"


def _word_witness(query: Query) -> list[tuple[dict[str, float], str]]:
    """Domains whose telling words the question holds; more words, more confidence."""
    said = set(words(_MISTER.sub("", query.text)))
    found = {domain: sorted(said & telling) for domain, telling in DOMAIN_WORDS.items()}
    scores = {domain: 1 - (1 - WORDY) ** len(hits) for domain, hits in found.items() if hits}
    if not scores:
        return []
    named = "; ".join(f"{domain}: {', '.join(found[domain])}" for domain in scores)
    return [(scores, f"words of the question ({named})")]


def _combine(witnesses: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Noisy or: 1 − Π (1 − p) over the witnesses, scaled to sum to at most 1."""
    scores = {domain: 1 - math.prod(1 - witness.get(domain, 0.0) for witness in witnesses) for domain in DOMAINS}
    total = sum(scores.values())
    return {domain: score / max(total, 1.0) for domain, score in scores.items()}


def _best(scores: Mapping[str, float]) -> tuple[str, float, float]:
    """The best domain, its score, and its lead over the second."""
    order = sorted(scores, key=lambda domain: (-scores[domain], domain))
    best, second = scores[order[0]], scores[order[1]]
    return (order[0], best, best - second) if best > 0 else ("other", 0.0, 0.0)
