"""What any system must beat: answers that need no look at the image, or no thought.

``majority`` says what training answers most often say. ``question-only`` is TF-IDF and logistic regression over the training
questions: it never sees an image. ``constant-report`` gives everyone the training report that is most like all others.
``nearest-report`` copies the report of the training study that looks most alike. They learn from the folder that MEDRAG_DATA
names, never from what is measured; of a task made of one's own file as `medrag.eval.own` says.
"""

from __future__ import annotations

import random
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from medrag._util.files import sha256_file, sha256_text
from medrag._util.findings import ASKED
from medrag.corpora import pictures, questions, realdata
from medrag.errors import MissingDependency, SettingsError
from medrag.eval import own, routing, sources
from medrag.eval.tasks import Example, Output, Task
from medrag.types import Study

if TYPE_CHECKING:
    from medrag.pipeline import MedRAG

Answers = list[Output]
SEARCHING = ("nearest-report",)  # baselines that copy what they find in the index
TABLES = (  # of the training data, what baselines read of IU X-Ray and VQA-RAD
    "noncommercial/iu_xray/splits.json", "noncommercial/iu_xray/reports.csv", "noncommercial/iu_xray/labels_negbio14.csv",
    "noncommercial/iu_xray/projections.csv", "noncommercial/iu_xray/vqa_train.jsonl", "open/vqa_rad/train.json",
)  # fmt: skip


def learned_from(name: str, task: Task, examples: Sequence[Example], rag: Callable[[], MedRAG]) -> dict[str, str]:
    """What the answer to one example depends on beside it: the index, the other examples, or the training data and the encoder."""
    if name in SEARCHING:
        return {"fingerprint": rag().fingerprint}
    if task.source == own.SOURCE:
        told = [f"{example.group}\0{example.question}\0{example.reference}" for example in examples]
        return {"examples": sha256_text(*told)[:16]}
    data = sources.training_data()
    parts = [sha256_file(data / table) if (data / table).is_file() else "" for table in TABLES]
    if task.kind == "routing":
        parts += [f"{p.domain} {p.path.name} {p.path.stat().st_size}" for p in pictures.others(data) if not p.held]
    found = {"training": sha256_text(*parts)[:16]}
    if name == "nearest-mean" and (memo := getattr(rag().router, "encoder", None)):
        found["encoder"] = memo.encoder.fingerprint
    return found


def majority(task: Task, examples: Sequence[Example], rag: Callable[[], MedRAG]) -> Answers:
    """The commonest answer of the training questions to every question; for closed ones their share of yes as P(yes)."""
    if task.kind == "routing":
        return routing.majority(sources.training_data(), examples)
    taught = taught_by(examples) if task.source == own.SOURCE else None
    if task.kind == "closed":
        _, answers = taught or training_questions(task)
        share = sum(answer == "yes" for answer in answers) / len(answers)
        return [Output("yes" if share >= 0.5 else "no", share)] * len(examples)
    _, answers = taught or _open_questions()
    return [Output(Counter(answers).most_common(1)[0][0])] * len(examples)


def question_only(task: Task, examples: Sequence[Example], rag: Callable[[], MedRAG]) -> Answers:
    """Its answers to closed questions, and to open ones the commonest answer of the most similar training questions."""
    if task.source == own.SOURCE:
        return own.out_of_fold(examples, lambda others, these: _by_question(task, *taught_by(others), these))
    return _by_question(task, *(training_questions(task) if task.kind == "closed" else _open_questions()), examples)


def taught_by(examples: Sequence[Example]) -> tuple[list[str], list[str]]:
    """(questions, answers) of examples."""
    return [one.question for one in examples], [str(one.reference) for one in examples]


def _by_question(task: Task, seen: list[str], answers: list[str], examples: Sequence[Example]) -> Answers:
    asked = [example.question for example in examples]
    if task.kind != "closed":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # that most answers are given once is as it should be
            model = _pipeline("nearest", len(seen)).fit(seen, answers)
        return [Output(str(answer)) for answer in model.predict(asked)]
    if len(set(answers)) == 1:  # nothing to tell apart
        return [Output(answers[0], float(answers[0] == "yes"))] * len(asked)
    model = _pipeline("logistic").fit(seen, [answer == "yes" for answer in answers])
    return [Output("yes" if p >= 0.5 else "no", float(p)) for p in model.predict_proba(asked)[:, 1]]


def constant_report(task: Task, examples: Sequence[Example], rag: Callable[[], MedRAG]) -> Answers:
    """The medoid of the training reports under TF-IDF's cosine."""
    if task.source == own.SOURCE:
        return own.out_of_fold(examples, lambda others, these: _medoid([str(one.reference) for one in others], these))
    texts = [study.text for study in realdata.studies(sources.training_data(), "train") if study.text]
    return _medoid(texts, examples)


def _medoid(texts: Sequence[str], examples: Sequence[Example]) -> Answers:
    import numpy as np

    vectors = _sklearn("feature_extraction.text").TfidfVectorizer(sublinear_tf=True).fit_transform(texts)
    mean = np.asarray(vectors.mean(axis=0)).ravel()
    return [Output(texts[int(np.argmax(vectors @ mean))])] * len(examples)


def nearest_report(task: Task, examples: Sequence[Example], rag: Callable[[], MedRAG]) -> Answers:
    """The first report that the image finds, word for word."""
    from medrag.eval.arms import limited_to

    opened = rag()
    names = [name for name in opened.retrievers if name.startswith("similar")]
    if not names:
        raise SettingsError("nearest-report needs an index of images", "name a recipe with images")
    finder = limited_to(opened, {name: opened.retrievers[name] for name in names})
    made = []
    for example in examples:
        hits = finder.retrieve(example.question, list(example.images), k=20, exclude=example.exclude)
        found = next((hit for hit in hits if isinstance(hit.item, Study) and hit.item.text), None)
        made.append(Output(found.item.text if found else ""))
    return made


def nearest_mean(task: Task, examples: Sequence[Example], rag: Callable[[], MedRAG]) -> Answers:
    """The domain whose training pictures look most alike on the mean."""
    return routing.nearest_mean(sources.training_data(), examples, rag)


def training_questions(task: Task) -> tuple[list[str], list[str]]:
    """(questions, answers) of everything closed that the pack's training part asks, or that is made of its labels and reports."""
    data, chance = sources.training_data(), random.Random(0)
    train = realdata.studies(data, "train")
    rates = {t: sum(t in s.positive or t[5:] in s.mesh for s in train) / len(train) for t in ASKED}
    pairs = [(row["question"], questions.answer_of(questions.worded(row["answer"]))) for row in realdata.iu_vqa(data)]
    for study in train:
        pairs += [(c.question, c.answer) for c in questions.from_labels(study, rates, chance, 3)]
        pairs += [(c.question, c.answer) for c in questions.from_report(study)]
    pairs += [(q, a.lower()) for q, a in _vqa_rad_train() if a.lower() in ("yes", "no")]
    return [question for question, _ in pairs], [answer for _, answer in pairs]


def _open_questions() -> tuple[list[str], list[str]]:
    pairs = [(q, a) for q, a in _vqa_rad_train() if a.lower() not in ("yes", "no")]
    return [question for question, _ in pairs], [answer for _, answer in pairs]


def _vqa_rad_train() -> list[tuple[str, str]]:
    data = sources.training_data()
    held = realdata.vqa_rad_held(data)
    return [
        (str(r["question"]), str(r["answer"]).strip()) for r in realdata.vqa_rad(data) if r["image_name"] not in held
    ]


def _pipeline(last: str, most: int = 5) -> Any:
    """TF-IDF and a model; ``most`` bounds the neighbours."""
    text, joined = _sklearn("feature_extraction.text"), _sklearn("pipeline").make_pipeline
    if last == "logistic":
        model = _sklearn("linear_model").LogisticRegression(C=10, max_iter=2000)
    else:
        model = _sklearn("neighbors").KNeighborsClassifier(min(5, most), metric="cosine", weights="distance")
    return joined(text.TfidfVectorizer(ngram_range=(1, 2), min_df=1), model)


def _sklearn(module: str) -> Any:
    import importlib

    try:
        return importlib.import_module(f"sklearn.{module}")
    except ModuleNotFoundError as error:
        raise MissingDependency("the baselines need scikit-learn", 'pip install "medrag[eval]"') from error


BASELINES: dict[str, Callable[[Task, Sequence[Example], Callable[[], MedRAG]], Answers]] = {
    "majority": majority, "question-only": question_only, "constant-report": constant_report, "nearest-report": nearest_report,
    "nearest-mean": nearest_mean,
}  # fmt: skip
