"""The small vision-language model as an answerer: it looks at the image, reads the evidence, and its sentences get their keys.

The findings reader's line stands in the prompt beside the patches. Whether a finding of the reader is there is decided by
Bayes' rule: the odds that the language model gives to "yes", times how much likelier than usual the reader finds it, times how much
oftener than usual look-alike studies report it (`medrag.retrieve.frequency`). What any piece of
evidence adds to "yes", whatever it says, is taken off (contextual calibration, Zhao et al., arXiv 2102.09690). A report is
revised by what the reader sees. The model was too small to be taught to cite, so each of its sentences is attributed afterwards to the evidence that says the same with the same polarity (as in RARR, Gao et al., arXiv 2210.08726); evidence that
says the opposite is named too. Questions without an image, and definitions, are answered by `extractive`: the model's own
knowledge is not to be trusted.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from medrag import models, plugins
from medrag._util.files import sha256_text
from medrag._util.findings import presence_asked
from medrag._util.odds import chance, logit
from medrag._util.polarity import OPPOSITE
from medrag._util.weights import weights_id
from medrag.prompts import REFUSAL
from medrag.vlms import _small_layout as layout
from medrag.vlms._ask import Ask, parse, plain, sections
from medrag.vlms._beyond import beyond
from medrag.vlms._changed import asks_change, told_or_refused
from medrag.vlms._evidence import GIVEN, is_report
from medrag.vlms._hf import Turns
from medrag.vlms._modality import kind_is, kind_told, misplaced
from medrag.vlms._noted import in_a_sentence, read_off
from medrag.vlms._regions import of_part, part_of
from medrag.vlms._revise import SECTIONS, headed, revised, seen, summary
from medrag.vlms._small_asked import affirmed, labels_of, part_is, unplaced, untaught, with_article
from medrag.vlms._small_kept import kept, pixels
from medrag.vlms._small_named import named, turned
from medrag.vlms._small_refused import reasoned, refused, why_not
from medrag.vlms._small_said import beginning, same, sentences_of, views, whose
from medrag.vlms._small_several import TWO, apart, told_apart
from medrag.vlms._small_sides import in_doubt, there_or_not
from medrag.vlms._stance import says
from medrag.vlms._vote import cite_keys
from medrag.vlms.extractive import Extractive
from medrag.vlms.transformers import Transformers

if TYPE_CHECKING:
    from PIL.Image import Image

    from medrag.prompts import Prompt
    from medrag.types import Hit

YES_NO = ("Yes", "yes"), ("No", "no")
ROUTED = 4.5  # log odds that the router names the kind of picture rightly: 0.989 of pictures not trained on (`eval/tasks/routing.yaml`)
# it was trained on chest films, and on the CT and MR of VQA-RAD
UNTAUGHT = frozenset({"ultrasound", "fundus", "dermoscopy", "histology", "blood-smear"})
REPORTED = frozenset({"", "chest-xray"})  # of which it was taught to write reports; "": nobody told
EVIDENCE = 3  # pieces of evidence that it was trained to read
SURE = 0.45  # geometric mean of the probabilities of the tokens of an open answer, below which it is not given (`eval/benchmarks/guesses.py`)
_WORD = re.compile(r"\W*(?:yes|no)\W*", re.IGNORECASE)
_EMPTY = re.compile(r"\W*(?:yes|no|cardiopulmonary)\W*", re.IGNORECASE)
_WHAT = re.compile(
    r"^\W*(?:and )?(?:what|which|where|why|how|who|when|describe|name|list|explain|tell)\b", re.IGNORECASE
)


class MedragSmall:
    """``medrag-small``: about 145 million parameters, chest radiographs best, 0.6 GB of memory.

    ``reader`` names the encoder whose findings reader writes a line of the prompt; empty: none.
    """

    sees_images = True
    follows_instructions = False  # it was taught to answer questions and to write reports, and nothing else

    def __init__(
        self,
        model: str = "medrag-small-vlm",
        *,
        device: str = "auto",
        dtype: str = "auto",
        reader: str = "medrag-small",
        temperature: float = 0.0,
        max_new_tokens: int = 160,
    ) -> None:
        self.name = model or "medrag-small-vlm"
        self._device, self._reader_name = device, reader
        self._options: dict[str, Any] = {"device": device, "dtype": dtype, "temperature": temperature, "max_new_tokens": max_new_tokens}  # fmt: skip
        self._words = Extractive()
        self._seen: dict[str, dict[str, float]] = {}  # what the reader said of the images asked about last
        self._begun: dict[str, tuple[float, float]] = {}  # and how the model would begin the answers asked for last

    def stream(self, prompt: Prompt, images: Sequence[Image] = ()) -> Iterator[str]:
        """Sentences with their keys as they are finished. Raises ModelMissing until `medrag models get` fetched the base."""
        if images and (noted := self._noted(prompt, images)):
            yield from self._sentences(prompt, [noted])
            return
        if self._blind(prompt, images):
            yield from self._by_words(prompt, images)
            return
        sort = parse(prompt.question).sort
        if sort == "closed":  # short, and its first word is to be known before
            yield from self._closed([prompt], [images])[0]
            return
        told = self._told(prompt, images)
        short = (
            sort == "open" and told.question not in layout.REPORT_ASKS
        )  # sure of its words or not is known at their end
        pieces = self._sure([told], [images]) if short else self.inner.stream(told, images)
        yield from self._sentences(prompt, self._revised(prompt, images, pieces))

    def batch(self, prompts: Sequence[Prompt], images: Sequence[Sequence[Image]]) -> list[str]:
        """One text for each prompt, those that look at an image written together."""
        asked = list(zip(prompts, images, strict=True))
        noted = {n: text for n, (p, i) in enumerate(asked) if i and (text := self._noted(p, i))}
        found = {n: "".join(self._sentences(prompts[n], [text])) for n, text in noted.items()}
        left = [n for n in range(len(asked)) if n not in found]
        found |= {n: "".join(self._by_words(*asked[n])) for n in left if self._blind(*asked[n])}
        closed = [n for n in left if n not in found and parse(prompts[n].question).sort == "closed"]
        said = self._closed([prompts[n] for n in closed], [images[n] for n in closed])
        found |= {n: "".join(pieces) for n, pieces in zip(closed, said, strict=True)}
        others = [n for n in range(len(asked)) if n not in found]
        told = [self._told(*asked[n]) for n in others]
        written = self._sure(told, [images[n] for n in others]) if others else []
        for n, text in zip(others, written, strict=True):
            found[n] = "".join(self._sentences(prompts[n], self._revised(*asked[n], [text])))
        return [found[n] for n in range(len(asked))]

    def _sure(self, told: Sequence[Prompt], images: Sequence[Sequence[Image]]) -> list[str]:
        """The texts; the refusal in place of an open answer whose words the model itself holds for less likely than `SURE`."""
        texts, likely = self.inner.with_likelihood(told, images)
        rows = zip(texts, likely, told, strict=True)
        return [text if p >= SURE or one.question in layout.REPORT_ASKS else REFUSAL for text, p, one in rows]

    def _closed(self, prompts: Sequence[Prompt], images: Sequence[Sequence[Image]]) -> list[Iterator[str]]:
        """Pieces of the answers to closed questions: how each would begin is known from the pass that wrote it."""
        asked = [affirmed(one) for one in prompts]
        told = [self._told(p, i) for p, i in zip(asked, images, strict=True)]
        texts, begun = self.inner.with_first_words(told, images, *YES_NO) if told else ([], [])
        kept(self._begun, _keys(told, images), lambda places: [begun[n] for n in places])
        decided = self._decided(prompts, images)
        rows = zip(
            texts, decided, prompts, asked, strict=True
        )  # what is said to the other question is not said to this one
        texts = ["" if word and one is not other else text for text, word, one, other in rows]
        doubts = [self._doubt(*one) for one in zip(prompts, images, decided, strict=True)]
        return [self._sentences(*row) for row in zip(prompts, [[text] for text in texts], decided, doubts, strict=True)]

    def _doubt(self, prompt: Prompt, images: Sequence[Image], decided: str) -> str:
        """That a side is not read from the film, behind an answer that names one; empty where the finding is not there at all, and where this patient's reports tell."""
        own = any(hit.retriever in GIVEN for hit in prompt.context.kept)
        doubt = in_doubt(prompt.question) if self._reads(prompt) and not own else ""
        wider = unplaced(prompt) if doubt else prompt
        absent = decided == "No" and wider is not prompt and self._chances([wider], [images])[0][0] < 0.5
        return "" if absent else doubt

    def probabilities_yes(self, prompts: Sequence[Prompt], images: Sequence[Sequence[Image]]) -> list[float | None]:
        """P(yes) of each closed question: of the model's first word, between "yes" and "no", moved by what the reader sees; None where it does not look."""
        looked = [n for n, one in enumerate(zip(prompts, images, strict=True)) if not self._blind(*one)]
        found = self._chances([prompts[n] for n in looked], [images[n] for n in looked]) if looked else []
        chances = dict(zip(looked, found, strict=True))
        return [chances[n][0] if n in chances else None for n in range(len(prompts))]

    def _chances(self, prompts: Sequence[Prompt], images: Sequence[Sequence[Image]]) -> list[tuple[float, float]]:
        """P(yes) of each closed question, and the model's own probability that its answer begins with either word.

        "Are the lungs free of effusion?" is asked as "Is there an effusion?", of which the model saw more, and its answer turned round.
        """
        asked = [affirmed(one) for one in prompts]
        told = [self._told(p, i) for p, i in zip(asked, images, strict=True)]
        begun = kept(self._begun, _keys(told, images), lambda places: self._first_words(told, images, places))
        moved = [self._shift(p, i) - self.evidence_shift(p) for p, i in zip(asked, images, strict=True)]
        odds = [logit(yes / max(yes + no, 1e-12)) + shift for (yes, no), shift in zip(begun, moved, strict=True)]
        other_way = [one is not other for one, other in zip(asked, prompts, strict=True)]
        rows = zip(odds, other_way, begun, strict=True)
        found = [(chance(-odd if turn else odd), sum(words)) for odd, turn, words in rows]
        return [self._no_likelier(*one) for one in zip(found, prompts, images, strict=True)]

    def _no_likelier(self, found: tuple[float, float], prompt: Prompt, images: Sequence[Image]) -> tuple[float, float]:
        """A finding at a place is no likelier than that it is there at all."""
        wider = unplaced(prompt) if self._reads(prompt) else prompt
        if wider is prompt:
            return found
        return min(found[0], self._chances([wider], [images])[0][0]), found[1]

    def _first_words(
        self, told: Sequence[Prompt], images: Sequence[Sequence[Image]], places: Sequence[int]
    ) -> list[tuple[float, float]]:
        return self.inner.first_words([told[n] for n in places], [images[n] for n in places], *YES_NO)

    def _decided(self, prompts: Sequence[Prompt], images: Sequence[Sequence[Image]]) -> list[str]:
        """The first word of closed questions that the reader or look-alike studies have a say in: "Yes" or "No"; empty for others.

        A model that would rather begin otherwise, as one tuned to refuse pictures that show nothing, is left to its words; but not where it would
        choose between two findings that may both be there, or neither.
        """
        wanted = [
            n
            for n, p in enumerate(prompts)
            if parse(p.question).sort == "closed"
            and (self._shift(p, images[n]) or affirmed(p) is not p or self._sided(p))
        ]
        chances = self._chances([prompts[n] for n in wanted], [images[n] for n in wanted]) if wanted else []
        several = [len(labels_of(prompts[n].question)[0]) > 1 for n in wanted]
        words = (
            "" if begun < 0.5 and not many else "Yes" if p >= 0.5 else "No"
            for (p, begun), many in zip(chances, several, strict=True)
        )
        said = dict(zip(wanted, words, strict=True))
        return [said.get(n, "") for n in range(len(prompts))]

    def _sided(self, prompt: Prompt) -> bool:
        return self._reads(prompt) and unplaced(prompt) is not prompt

    def _shift(self, prompt: Prompt, images: Sequence[Image]) -> float:
        """Log odds that the reader and the look-alike studies add to "yes", and the router where the kind of picture is asked about."""
        counted, domain = prompt.context.frequency, prompt.context.query.domain
        kind = kind_is(prompt.question, domain)
        kind = part_is(prompt.question, domain) if kind is None else kind
        routed = 0.0 if kind is None else ROUTED if kind else -ROUTED
        return self.reader_shift(prompt, images) + (counted.lift if counted else 0.0) + routed

    def reader_shift(self, prompt: Prompt, images: Sequence[Image]) -> float:
        """Log of how much likelier than in training the reader finds what is asked about, any of it where several findings are named; 0 where it has no say."""
        labels, against = labels_of(prompt.question) if self._reads(prompt) else ((), False)
        if not labels or not all(label in self._usual for label in labels):
            return 0.0
        shift = logit(_any(self._read(images), labels)) - logit(_any(self._usual, labels))
        return -shift if against or parse(prompt.question).negated else shift

    def evidence_shift(self, prompt: Prompt) -> float:
        """Log odds that pieces of evidence like those of the prompt add to "yes" on the mean of training questions, which tells nothing of this one.

        Measured, and not 0, where a finding on a chest film is asked about, by `pipelines/08_train_vlm.py --evidence`.
        """
        if not self._reads(prompt) or not presence_asked(plain(prompt.question)) or parse(prompt.question).negated:
            return 0.0
        return sum(self._moves.get(evidence_sort(hit), 0.0) for hit in _told_of(prompt))

    def findings(self, images: Sequence[Image], domain: str = "") -> dict[str, float]:
        """What the reader sees on the images of a chest film, 0–1 by label; nothing elsewhere."""
        return self._read(images) if self._reader is not None and domain in ("", "chest-xray") else {}

    def _blind(self, prompt: Prompt, images: Sequence[Image]) -> bool:
        """Whether the words of the evidence answer: nothing to look at, a definition is asked, or the picture is of a kind that the model was not taught to
        read, or to report on (it would write of a heart and lungs all the same), or what no look at it tells is asked: what changed, what to do, or a disease of which it
        saw no question."""
        domain, sort = prompt.context.query.domain, parse(prompt.question).sort
        if not images or sort == "define" or domain in UNTAUGHT or (sort == "report" and domain not in REPORTED):
            return True
        return bool(
            beyond(prompt.question)
            or (domain in REPORTED and untaught(prompt.question))
            or asks_change(prompt.question)
            or told_or_refused(prompt.question, prompt.context)
            or why_not(prompt, domain in REPORTED)
        )

    def _by_words(self, prompt: Prompt, images: Sequence[Image]) -> Iterator[str]:
        """What the evidence says: how two images differ, or, where it does not compare them, that this is not known; other questions as `extractive` answers them."""
        if not images:
            return self._words.stream(prompt, images)
        if told := told_or_refused(prompt.question, prompt.context):
            return iter([told])
        if asks_change(prompt.question):
            return iter([REFUSAL])
        if why := why_not(prompt, prompt.context.query.domain in REPORTED):
            return iter([refused(why)])
        return iter([reasoned("".join(self._words.stream(prompt, images)), prompt.question)])

    def _noted(self, prompt: Prompt, images: Sequence[Image]) -> str:
        """What the reader sees on a chest film, where a question asks for whatever is there, and what kind of picture it is; empty for others."""
        domain = prompt.context.query.domain
        if domain == "chest-xray" and self._reads(prompt):
            if parse(prompt.question).broad or in_a_sentence(prompt.question):
                return summary(seen(self._read(images)))
            if parts := apart(prompt.question):
                return self._each(prompt, images, parts)
            return read_off(prompt.question, lambda: self._read(images), self._usual) or kind_told(
                prompt.question, domain
            )
        return kind_told(prompt.question, domain)

    def _each(self, prompt: Prompt, images: Sequence[Image], parts: Sequence[str]) -> str:
        """Of several things asked at once each by its name; refused where one of them is not for the reader."""
        alone = dataclasses.replace(prompt.context, frequency=None)
        asked = [dataclasses.replace(prompt, question=one, context=alone) for one in parts]
        if not all(len(labels_of(one)[0]) == 1 for one in parts):
            return refused(TWO)
        chances = self._chances(asked, [images] * len(asked))
        yes = [(p >= 0.5) != parse(one).negated for one, (p, _) in zip(parts, chances, strict=True)]
        closed = parse(prompt.question).sort == "closed"  # what is no closed question finds its keys by its words
        keys = [
            views(parse(one), prompt, "present" if there else "absent") if closed else []
            for one, there in zip(parts, yes, strict=True)
        ]
        return told_apart(parts, yes, keys)

    def _revised(self, prompt: Prompt, images: Sequence[Image], pieces: Iterable[str]) -> Iterable[str]:
        """A report's pieces, put right by what the reader sees, nothing said twice; a report is also what was not asked for and begins like one,
        which of what is no chest film is refused, as is the name of a picture that it is not. Other texts as they are."""
        sentences, domain = sentences_of(pieces), prompt.context.query.domain
        first, part = next(sentences, ""), self._part(prompt)
        if (headed(first) and domain not in REPORTED) or misplaced(first, domain):
            return [REFUSAL]
        if _EMPTY.fullmatch(first) and _WHAT.match(prompt.question) and "system" not in prompt.question:
            # yes, no and "Cardiopulmonary." are no answers to what, where and how
            return [REFUSAL]
        asked = parse(prompt.question).sort == "report" or bool(part)
        written: Iterator[str] = itertools.chain([first] if first else [], sentences)
        if asked or headed(first):
            found = seen(self._read(images)) if self._reads(prompt) else {}
            written = revised(written, found, sections(prompt.question) if asked else SECTIONS)
        kept = (list(of_part(part, written)) or [REFUSAL]) if part else written
        return (f"{sentence} " for sentence in kept)

    def _sentences(self, prompt: Prompt, pieces: Iterable[str], decided: str = "", doubt: str = "") -> Iterator[str]:
        """The text sentence by sentence, each with its keys; after a closed answer, who says otherwise, and what is in ``doubt``.

        A text that does not begin as was ``decided`` gives way to that word alone; a word alone names its thing where the question denies it.
        """
        ask, started, said = parse(prompt.question), False, ""
        names = turned(prompt.question)
        for sentence in sentences_of(beginning(decided, pieces)):
            if names and _WORD.fullmatch(sentence):
                sentence = named(prompt.question, sentence.strip(" .!").capitalize())
            yield (" " if started else "") + self._keyed(ask, sentence, prompt)
            started, said = True, said or says(ask, sentence)
        if ask.sort == "closed" and (keys := views(ask, prompt, OPPOSITE.get(said, "-"))):
            yield f" {whose(prompt, keys)} {cite_keys(keys)} say otherwise."
        if doubt and (said == "present" or (said and there_or_not(prompt.question))):
            yield f" {doubt}"

    @functools.cached_property
    def inner(self) -> Transformers:
        """The model itself, put together at the first use."""
        from medrag.vlms.medrag_small import assembled

        return Transformers(str(assembled(models.resolve(self.name))), layout=_layout, **self._options)

    def _told(self, prompt: Prompt, images: Sequence[Image]) -> Prompt:
        """The prompt with the reader's line where a system text would stand, and no more evidence than it can use; a report asked for in words that it knows."""
        context, question = (
            dataclasses.replace(prompt.context, kept=_told_of(prompt)),
            with_article(plain(prompt.question)),
        )
        wanted = parse(question).sort == "report" or (self._reads(prompt) and self._part(prompt))
        if wanted and self._reads(prompt) and question not in layout.REPORT_ASKS:
            question = layout.REPORT_ASKS[0]
        return dataclasses.replace(prompt, question=question, system=self._reader_line(prompt, images), context=context)

    def _part(self, prompt: Prompt) -> str:
        """The part of a chest film that is to be described; empty for other questions and pictures."""
        return part_of(plain(prompt.question)) if prompt.context.query.domain == "chest-xray" else ""

    def _reader_line(self, prompt: Prompt, images: Sequence[Image]) -> str:
        return layout.reader_line(self._read(images)) if self._reads(prompt) else ""

    def _reads(self, prompt: Prompt) -> bool:
        return self._reader is not None and prompt.context.query.domain in ("", "chest-xray")

    def _read(self, images: Sequence[Image]) -> dict[str, float]:
        """The reader's probabilities; a question needs them more than once, so those of the last images are kept by their pixels."""
        return kept(self._seen, [pixels(images)], lambda _: [self._reader.read(images)])[0]

    @functools.cached_property
    def fingerprint(self) -> str:
        """Of the parts it is put together from, by `weights_id`, and of how it writes."""
        paths = [models.resolve(name) for name in (self.name, self._reader_name) if name]
        return sha256_text("medrag-small/6", *map(weights_id, paths), str(sorted(self._options.items())))[:16]

    @functools.cached_property
    def _usual(self) -> dict[str, float]:
        """The reader's mean probabilities over the training studies, by label."""
        from medrag.vlms.medrag_small import recipe_of

        return recipe_of(models.resolve(self.name)).get("usual", {})  # type: ignore[no-any-return]

    @functools.cached_property
    def _moves(self) -> dict[str, float]:
        """What a piece of evidence adds to the log odds of "yes", by its sort; empty where the model does not say."""
        from medrag.vlms.medrag_small import recipe_of

        return recipe_of(models.resolve(self.name)).get("evidence", {})  # type: ignore[no-any-return]

    @functools.cached_property
    def _reader(self) -> Any:
        if not self._reader_name:
            return None
        return plugins.load("readers", "findings")(self._reader_name, device=self._device)

    def _keyed(self, ask: Ask, sentence: str, prompt: Prompt) -> str:
        """The sentence with the keys of the evidence that says the same, before its full stop."""
        keys = views(ask, prompt, says(ask, sentence) or "-") if ask.sort == "closed" else same(sentence, prompt)
        text = sentence.strip()
        if not keys:
            return text
        stop = text[-1] if text[-1] in ".!?" else "."
        return f"{text.rstrip('.!? ')} {cite_keys(keys)}{stop}"


def _any(chances: Mapping[str, float], labels: Iterable[str]) -> float:
    """The chance of any of them, as if they knew nothing of each other."""
    return 1 - math.prod(1 - chances[label] for label in labels)


def _told_of(prompt: Prompt) -> tuple[Hit, ...]:
    """The evidence that the model is told. Whether this picture shows something no book knows: then reports alone, and what is of this patient."""
    closed = parse(prompt.question).sort == "closed"
    told = (hit for hit in prompt.context.kept if not closed or hit.retriever in GIVEN or is_report(hit))
    return tuple(itertools.islice(told, EVIDENCE))


def evidence_sort(hit: Hit) -> str:
    """ "report" for what speaks of a patient, else the item's kind: each moves the model in its own way."""
    return "report" if is_report(hit) else hit.item.kind


def _keys(told: Sequence[Prompt], images: Sequence[Sequence[Image]]) -> list[str]:
    """What tells prompts and their images from others."""
    return [sha256_text(pixels(i), *map(str, _layout(p))) for p, i in zip(told, images, strict=True)]


def _layout(prompt: Prompt) -> Turns:
    """One user turn: the reader's line, the evidence, the question, as in training."""
    evidence = [layout.evidence_line(key, hit.item.text) for key, hit in prompt.context]
    return [("user", layout.before(prompt.system, evidence) + layout.question_text(prompt.question))]
