"""A generator asked each training question three times: with evidence, without, and with evidence but a picture that shows nothing.

This is what preference pairs are made from (MMed-RAG, arXiv 2410.13085: a_r, a_0, a_n) and what reliance on retrieval is measured on.
Every question is one line of ``answers.jsonl``; a run that was cut off goes on. Whether an answer is right is judged here only to spare
the third answer where the first is wrong: it can then make no pair.
"""

from __future__ import annotations

import dataclasses
import json
import random
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medrag._util.files import appending, sha256_file, sha256_text, whole_lines
from medrag._util.images import load_image
from medrag._util.progress import track
from medrag.confidence import closed_prompt
from medrag.corpora.twins import apart_in
from medrag.errors import SettingsError
from medrag.prompts import KEYS, describe, keyless, read_of
from medrag.query import make_query
from medrag.score.reliance import right as clinically_right
from medrag.tune.asked import Asked, asked_of, with_others_evidence, with_own_report, with_study_report
from medrag.tune.pixels import KEPT, noised
from medrag.types import Context, Hit, Passage, QueryImage, Route, Study

if TYPE_CHECKING:
    from medrag.pipeline import MedRAG
    from medrag.types import Item

FILE = "answers.jsonl"
_OTHERWISE = re.compile(rf"(?:Reports of look-alike studies|Reports)\s+(?:{KEYS.pattern}\s*)+say otherwise\.")
READ = 3  # pieces of evidence that a report is put among: what the small model reads
Judge = Callable[[str, str], bool]  # (answer, reference) → right


@dataclass(frozen=True, slots=True)
class Piece:
    """One piece of evidence as it stood in the prompt."""

    id: str
    kind: str
    title: str
    text: str

    @classmethod
    def of(cls, hit: Hit) -> Piece:
        return cls(hit.item.id, hit.item.kind, describe(hit).partition(", ")[2], read_of(hit.item))

    def item(self) -> Item:
        """An item that a prompt words the same; of the original's fields it has these alone."""
        if self.kind == "study":
            return Study(self.id, {"findings": self.text})
        return Passage(self.id, self.id, self.text, self.title, kind=self.kind)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Unseen:
    """The picture that shows nothing of the patient: seeded noise, or the path of an unrelated picture for each path."""

    how: str = "noise"  # or "least-similar"
    seed: int = 0
    kept: float = KEPT
    others: Callable[[str], str] | None = None

    def paths(self, asked: Asked) -> tuple[str, ...]:
        """The unrelated pictures; none where noise takes their place."""
        if self.how == "noise":
            return ()
        if self.how != "least-similar" or self.others is None:
            raise SettingsError(f"no picture shows nothing by {self.how!r}", "take noise, or least-similar with others")
        return tuple(self.others(path) for path in asked.images)

    def pictures(self, asked: Asked) -> tuple[QueryImage, ...]:
        """One for each of the question's pictures; noise is the same for the same seed and question."""
        if paths := self.paths(asked):
            return tuple(load_image(path) for path in paths)
        return tuple(
            load_image(noised(load_image(path, max_side=512).image, f"{self.seed}/{asked.id}/{n}", self.kept))
            for n, path in enumerate(asked.images)
        )


@dataclass(frozen=True, slots=True)
class Told:
    """A question and its answers; ``unseen`` is None where it was not asked for, because ``using`` is wrong."""

    asked: Asked
    without: str
    using: str
    unseen: str | None
    evidence: tuple[Piece, ...]
    domain: str
    key: str  # of the run: generator, index, settings
    seconds: float = 0.0
    chances: tuple[float | None, ...] = ()  # P(yes) without, with, unseen, where the generator knows it
    unseen_images: tuple[str, ...] = ()  # the unrelated pictures; noise is made again from its seed
    pictures: tuple[str, ...] = ()  # content of what was looked at; older lines do not know it

    def line(self) -> str:
        return json.dumps(dataclasses.asdict(self), ensure_ascii=False)

    @classmethod
    def of(cls, line: str) -> Told:
        raw = json.loads(line)
        own = {"asked": asked_of(raw["asked"]), "evidence": tuple(Piece(**one) for one in raw["evidence"])}
        lists = {name: tuple(raw.get(name, ())) for name in ("chances", "unseen_images", "pictures")}
        return cls(**{**raw, **own, **lists})

    def answers(self, asked: Asked) -> bool:
        """Whether this was asked, with the same pictures."""
        return self.asked == asked and (not self.pictures or self.pictures == contents(asked))


def contents(asked: Asked) -> tuple[str, ...]:
    """The pictures that a question is asked with and that evidence is found for, by their bytes."""
    paths = map(Path, (*asked.images, *asked.found_for))
    return tuple(sha256_file(path)[:16] if path.is_file() else "" for path in paths)


def answer_all(
    rag: MedRAG, asked: Sequence[Asked], folder: Path, unseen: Unseen | None = None, *, right: Judge = clinically_right,
    short: bool = True, keep_keys: bool = False, at_once: int = 8,
) -> list[Told]:  # fmt: skip
    """Every question's answers, in order; those that ``folder`` holds from the same settings are not asked again. Studies of the index
    that hold a copy of a question's picture are no evidence for it.

    ``short``: closed questions are answered "Yes." or "No." by the generator's P(yes) where it knows it, which is several times faster
    than writing. ``keep_keys`` keeps evidence keys in the answers, for generators that write them themselves. Raises SettingsError
    where the folder holds answers of other settings, GeneratorError where the generator fails.
    """
    unseen, asked = unseen or Unseen(), apart_in(rag.store, asked)
    judged = getattr(right, "key", "")  # of a model's verdicts; the clinical scorer has none
    key = sha256_text(rag.fingerprint, f"{unseen.how}/{unseen.seed}/{unseen.kept}/{short}/{keep_keys}", *filter(None, [judged]))[:16]  # fmt: skip
    done = kept(folder / FILE, key)
    wanted = [one for one in asked if one.id not in done or not done[one.id].answers(one)]
    wanted.sort(key=lambda one: one.kind)  # reports are long: a batch waits for its longest answer
    parts = [wanted[n : n + at_once] for n in range(0, len(wanted), at_once)]
    speaker = _Speaker(rag, short, keep_keys)
    with appending(folder / FILE) as stream:
        for told in track(_told(speaker, parts, unseen, right, key), "ask", len(wanted)):
            stream.write(told.line() + "\n")
            stream.flush()
            done[told.asked.id] = told
    return [done[one.id] for one in asked]


def again(
    told: Sequence[Told], data: Path | None, most: int, seed: int = 0, right: Judge = clinically_right
) -> list[Asked]:
    """Questions to ask with evidence that is put there, at most ``most`` of each sort: the study's own report where the answer without
    evidence was wrong, what was found for another patient where it was right.

    ``data`` is the pack that the questions are of; None for own ones, whose reports are other rows of the same study.
    """
    knew = [right(one.without, one.asked.reference) for one in told]
    wrong, known = ([one.asked for one, k in zip(told, knew, strict=True) if k == wanted] for wanted in (False, True))
    own = with_own_report(wrong, data) if data else with_study_report(wrong, [one.asked for one in told])
    return own[:most] + with_others_evidence(known, seed, apart=data is not None)[:most]


def kept(path: Path, key: str = "") -> dict[str, Told]:
    """The answers of a file by question; the last one of a question counts, a last line that was cut short is cut off.

    Raises SettingsError where lines have another ``key``; an empty one takes any.
    """
    found: dict[str, Told] = {}
    for line in whole_lines(path):
        told = Told.of(line)
        if key and told.key != key:
            raise SettingsError(f"{path} holds answers of another model, index or setting", "name another folder")
        found[told.asked.id] = told
    return found


def read_told(path: Path) -> list[Told]:
    """The answers of a file. Raises SettingsError for one that holds none."""
    try:
        found = list(kept(path).values())
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SettingsError(f"{path} holds no answers: {error}", f"name the {FILE} that medrag tune pairs writes") from error  # fmt: skip
    if not found:
        raise SettingsError(f"{path} holds no answers", f"name the {FILE} that medrag tune pairs writes")
    return found


def _told(
    speaker: _Speaker, parts: Sequence[Sequence[Asked]], unseen: Unseen, right: Judge, key: str
) -> Iterator[Told]:
    for part in parts:
        began = time.perf_counter()
        found = [evidence_for(speaker.rag, one) for one in part]
        contexts, routes = [context for context, _ in found], [route for _, route in found]
        bare = [dataclasses.replace(context, kept=(), dropped=()) for context in contexts]
        using, without = (
            speaker.say(contexts, routes),
            speaker.say(bare, routes),
        )  # apart: prompts without evidence are short
        again = [n for n, one in enumerate(part) if one.images and right(using[n][0], one.reference)]
        blind = [
            dataclasses.replace(contexts[n], query=dataclasses.replace(contexts[n].query, images=pictures))
            for n in again
            if (pictures := unseen.pictures(part[n]))
        ]
        third = dict(zip(again, speaker.say(blind, [routes[n] for n in again]), strict=True))
        seconds = round((time.perf_counter() - began) / len(part), 3)
        for n, one in enumerate(part):
            last, chance = third.get(n, (None, None))
            chances = (without[n][1], using[n][1], chance)
            pieces = tuple(Piece.of(hit) for hit in contexts[n].kept)
            domain = contexts[n].query.domain
            other = unseen.paths(one) if last is not None else ()
            seen = (without[n][0], using[n][0], last, pieces, domain, key, seconds, chances, other)
            yield Told(one, *seen, contents(one))


def evidence_for(rag: MedRAG, asked: Asked) -> tuple[Context, Route]:
    """What the pipeline would show its generator, and the route it took; see `Asked` for evidence that is put there.

    How often look-alike studies report the finding is left out: it moves the odds whatever is read, and reading is what pairs teach.
    """
    stages: dict[str, Any] = {}
    for event in rag.stream(list(asked.found_for or asked.images) or None, asked.question, exclude=asked.exclude):
        stages[event.stage] = event.data
        if event.stage == "selected":
            break
    context, route = dataclasses.replace(stages["selected"], frequency=None, labelled=None), stages["routed"]
    if asked.found_for:
        own = dataclasses.replace(
            make_query(list(asked.images), asked.question, asked.exclude), domain=context.query.domain
        )
        context = dataclasses.replace(context, query=own)
    return _with_report(context, asked) if asked.report else context, route


def _with_report(context: Context, asked: Asked) -> Context:
    """The study's own report in one of the first places, so that its place and the number of pieces tell nothing."""
    kept = list(context.kept[: READ - 1])
    kept.insert(
        random.Random(asked.id).randint(0, len(kept)),
        Hit(Study(f"own:{asked.group}", {"findings": asked.report}), 0.0, 1, "own"),
    )
    return dataclasses.replace(context, kept=tuple(kept))


@dataclass(frozen=True, slots=True)
class _Speaker:
    """A pipeline's generator, and how its answers are taken down."""

    rag: MedRAG
    short: bool
    keep_keys: bool

    def say(self, contexts: Sequence[Context], routes: Sequence[Route]) -> list[tuple[str, float | None]]:
        """(answer, P(yes) or None) for each context, those that are alike together."""
        from medrag.route import question_kind

        ask = getattr(self.rag.generator, "probabilities_yes", None) if self.short else None
        closed = [
            n for n, c in enumerate(contexts) if ask and c.query.images and question_kind(c.query.text) == "closed"
        ]
        found: dict[int, tuple[str, float | None]] = {}
        if ask and closed:
            private = self.rag.settings.private
            prompts = [closed_prompt(contexts[n], private=private) for n in closed]
            chances = ask(prompts, [[image.image for image in contexts[n].query.images] for n in closed])
            known = ((n, p) for n, p in zip(closed, chances, strict=True) if p is not None)
            found = {n: ("Yes." if p >= 0.5 else "No.", round(p, 4)) for n, p in known}
        others = [n for n in range(len(contexts)) if n not in found]
        answers = self.rag.answers_from([contexts[n] for n in others], [routes[n] for n in others])
        for n, answer in zip(others, answers, strict=True):
            found[n] = (answer.text.strip() if self.keep_keys else unattributed(answer.text), None)
        return [found[n] for n in range(len(contexts))]


def unattributed(text: str) -> str:
    """An answer without what medrag attributes afterwards: evidence keys, and who says otherwise.

    >>> unattributed("Yes, there is a mass [E1]. Reports of look-alike studies [E2] say otherwise.")
    'Yes, there is a mass.'
    """
    return keyless(_OTHERWISE.sub("", text))
