"""Pictures routed to their domain: those that nothing was trained on, of a folder and of packages, and photographs.

Of a folder, a picture is left out where one that is trained on shows the same patient, or is the same picture or nearly so.
No ultrasound is held back: what the registry has is trained on, or of the same studies. Textbook figures are pieces of pages, no files;
`eval/benchmarks/router.py` judges those.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from medrag._util.files import sha256_file
from medrag.corpora import pictures, realdata, twins
from medrag.errors import SettingsError
from medrag.eval.arms import Arm, one_by_one
from medrag.eval.tasks import Example, Output, Task
from medrag.models import resolve
from medrag.query import make_query
from medrag.score.abstention import Abstention
from medrag.score.overlap import ratio
from medrag.types import DOMAINS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from medrag.pipeline import MedRAG
    from medrag.score import Rows, Weights

PHOTOGRAPH = "photograph"  # the reference of what is not medical; "other" is right
FILMS_EVERY = 4  # of IU X-Ray's studies, which would outnumber all others
A_DOMAIN = 20  # training pictures that a class mean is made of


def held(data: Path, split: str, task: Task) -> list[Example]:
    """``held``: each fifth picture, and IU X-Ray's ``val``; another split: all pictures of the folder, and that split's films. What was trained on is left out (`_apart`).

    With ``options: {questions: true}`` VQA-RAD's pictures come a second time, each with the first question that is asked of it.
    """
    from medrag.eval.sources import training_data  # which imports this file

    films, training = _films(data, split, task), training_data()
    taught = _taught(training) if split != "held" or training.resolve() != data.resolve() else []
    found, radiology = pictures.folders(data), _vqa_rad(data, split)
    if split == "held":
        taught += [p.path for p in (*found, *radiology) if not p.held]
        found, radiology = ([p for p in some if p.held] for some in (found, radiology))
    apart = _apart([p.path for p in (*found, *radiology)], taught)
    found, radiology = ([p for p in some if p.path in apart] for some in (found, radiology))
    made = [_example(p.path, p.domain, "pack") for p in (*found, *radiology)]
    made += [_example(path, "chest-xray", "pack") for path in films]
    made += [_example(s.path, s.domain, "packages", s.study) for s in pictures.unseen() if s.frame == 0]
    made += [_example(path, PHOTOGRAPH, PHOTOGRAPH) for path in pictures.photographs()]
    if radiology and task.options.get("questions"):
        asked = {row["image_name"]: row["question"] for row in reversed(realdata.vqa_rad(data, _part(data, split)))}
        made += [_example(p.path, p.domain, "pack", question=asked[p.path.name]) for p in radiology]
    return made


def _example(path: Path, reference: str, tag: str, study: str = "", question: str = "") -> Example:
    name = "/".join(path.parts[-3:])
    tags = (tag, "with a question" if question else "picture alone", *({reference} - {tag}))
    group = study or pictures.patient_of(path) or name
    return Example(f"{name}?" if question else name, group, question, reference, (path,), tags=tags)


def _taught(data: Path) -> list[Path]:
    """The pictures of the training pack that are trained on, but for IU X-Ray's films, which go by their names (`_films`)."""
    return [p.path for p in (*pictures.folders(data), *_vqa_rad(data, "held")) if not p.held]


def _apart(found: Sequence[Path], taught: Sequence[Path]) -> set[Path]:
    """The pictures of no patient that is trained on, and that are no copy of a picture that is (`medrag.corpora.twins`)."""
    patients = {name for path in taught if (name := pictures.patient_of(path))}
    contents = {sha256_file(path) for path in taught}
    seen = [bits for path in taught if (bits := twins.looks_of_file(str(path))) is not None]
    looks = np.array(seen, bool).reshape(len(seen), twins.SIDE**2)

    def known(path: Path) -> bool:
        bits = twins.looks_of_file(str(path))
        near = bits is not None and bool(((looks != bits).sum(axis=1) <= twins.NEAR).any())
        return near or pictures.patient_of(path) in patients or sha256_file(path) in contents

    return {path for path in found if not known(path)}


def _part(data: Path, split: str) -> str:
    """The part of VQA-RAD that a split of the task reads; empty where the folder has none."""
    names = ("train",) if split == "held" else (split, "train")
    return next((name for name in names if (data / f"open/vqa_rad/{name}.json").is_file()), "")


def _vqa_rad(data: Path, split: str) -> list[pictures.Picture]:
    part = _part(data, split)
    return pictures.vqa_rad_said(data, part) if part else []


def _films(data: Path, split: str, task: Task) -> list[Path]:
    """One film of each fourth study that is not trained on."""
    from medrag.eval.sources import iu_studies, training_data  # which imports this file

    root = data / "noncommercial/iu_xray"
    if not root.is_dir():
        return []
    some = iu_studies(data, "val" if split == "held" else split, task)
    pack = training_data()
    trained = realdata.studies(pack, "train") if (pack / "noncommercial/iu_xray").is_dir() else ()
    taught = {path.name for study in trained for path, _ in study.images}
    first = [study.images[0][0] for study in some if study.images]
    return [path for path in first if path.name not in taught][::FILMS_EVERY]


def make_router(name: str, rag: Callable[[], MedRAG]) -> Arm:
    """The arm ``router``: that of the recipe. Raises SettingsError for another name."""
    if name != "router":
        raise SettingsError(f"there is no arm {name!r} for routes", "known: router, or module:function")
    opened = rag()

    def call(example: Example) -> Output:
        route = opened.router.route(make_query(list(example.images), example.question))
        return Output(route.domain, route.confidence, details={"retrieves": route.retrieves, "reasons": route.reasons})

    head = opened.recipe.router if opened.recipe else ""
    weights = sha256_file(resolve(head)) if head else ""
    return Arm(name, {"fingerprint": opened.fingerprint, "router": head, "weights": weights}, one_by_one(call))


def majority(data: Path, examples: Sequence[Example]) -> list[Output]:
    """The commonest domain of what is trained on."""
    counts = Counter(picture.domain for picture in pictures.others(data) if not picture.held)
    counts["chest-xray"] += sum(len(study.images) for study in realdata.studies(data, "train"))
    (domain, n), *_ = counts.most_common(1)
    return [Output(domain, n / counts.total())] * len(examples)


def nearest_mean(data: Path, examples: Sequence[Example], rag: Callable[[], MedRAG]) -> list[Output]:
    """The domain whose mean embedding of ``A_DOMAIN`` training pictures is nearest by cosine, with the router's own encoder.

    Raises SettingsError where the recipe's router looks at no image.
    """
    encoder = getattr(rag().router, "encoder", None)
    if encoder is None:
        raise SettingsError("nearest-mean needs a router that sees images", "name a recipe with a router head")
    by: dict[str, list[Path]] = {}
    for picture in pictures.others(data):
        if not picture.held:
            by.setdefault(picture.domain, []).append(picture.path)

    def vector(path: Path) -> NDArray[np.float32]:
        found: NDArray[np.float32] = encoder.query(make_query(path, ""))[0]
        return found

    means = np.stack([np.mean([vector(p) for p in some[:: -(-len(some) // A_DOMAIN)]], axis=0) for some in by.values()])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    names = list(by)
    return [Output(names[int(np.argmax(means @ vector(example.images[0])))]) for example in examples]


ABOUT = {"router": "the recipe's router, from the picture, what its file says, and the question where there is one"}


@dataclass(frozen=True, slots=True)
class Routing:
    """accuracy, macro_f1, ece, photographs_flagged, lost_to_other (share of the eight other domains' pictures named "other"), f1/<domain>.

    ``macro_f1`` is the mean F1 of the domains that have a picture, as scikit-learn's over their labels. Photographs count in
    ``photographs_flagged`` (share named "other") and in the expected calibration error (Guo et al. 2017) alone, which is over
    the answers that have a confidence.
    """

    name: str = "routing"

    def rows(self, answers: Sequence[str], references: Sequence[str]) -> Rows:
        return self.rows_with(answers, references, [None] * len(answers))

    def rows_with(
        self, answers: Sequence[str], references: Sequence[str], probabilities: Sequence[float | None]
    ) -> Rows:
        """(n, 4): number of the true domain (−1 for a photograph), of the one said (−1 for none), confidence or NaN, right.

        Raises ValueError for a reference that is no domain.
        """
        rows = np.zeros((len(answers), 4))
        for n, (said, true, chance) in enumerate(zip(answers, references, probabilities, strict=True)):
            if true not in (*DOMAINS, PHOTOGRAPH):
                raise ValueError(f"{true!r} is no domain")
            said = str(said).strip().lower()
            right = said == ("other" if true == PHOTOGRAPH else true)
            rows[n] = _number(true), _number(said), np.nan if chance is None else chance, right
        return rows

    def totals(self, rows: Rows, weights: Weights) -> dict[str, NDArray[np.float64]]:
        truth, said, chance, right = rows.T
        photo, other = truth < 0, float(DOMAINS.index("other"))
        asked, medical = ~photo, ~photo & (truth != other)
        f1 = {name: _f1(weights[:, asked], said[asked] == n, truth[asked] == n) for n, name in enumerate(DOMAINS)}
        scores = {
            "accuracy": ratio(weights @ (right * asked), weights @ asked),
            "macro_f1": _mean(list(f1.values())),
            "photographs_flagged": ratio(weights @ (right * photo), weights @ photo),
            "lost_to_other": ratio(weights @ (medical & (said == other)), weights @ medical),
        }
        if (sure := ~np.isnan(chance)).any():
            scores["ece"] = Abstention().totals(rows[sure, 2:], weights[:, sure])["ece"]
        return scores | {f"f1/{name}": value for name, value in f1.items()}


def _number(domain: str) -> int:
    return DOMAINS.index(domain) if domain in DOMAINS else -1


def _f1(weights: Weights, said: NDArray[np.bool_], truth: NDArray[np.bool_]) -> NDArray[np.float64]:
    """F1 (draws,); NaN where no picture of the domain was drawn."""
    found = ratio(2 * (weights @ (said & truth)), weights @ said + weights @ truth.astype(float))
    return np.where(weights @ truth > 0, found, np.nan)


def _mean(values: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    stacked = np.stack(values)
    known = ~np.isnan(stacked)
    return ratio(np.where(known, stacked, 0.0).sum(0), known.sum(0).astype(float))
