"""The records that travel through medrag: frozen, slotted, and aware of their own text.

Every retrievable record (an *item*) has ``id``, ``doc``, ``text`` and ``kind``. Ids are global and stable:
``corpus:doc#part``. This file knows nothing of files, models or indexes.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

if TYPE_CHECKING:
    from PIL.Image import Image

Domain = Literal["chest-xray", "ct", "mr", "ultrasound", "fundus", "dermoscopy", "histology", "blood-smear", "other"]
DOMAINS: tuple[str, ...] = get_args(Domain)

Meta = Mapping[str, Any]  # JSON-able values only
SURE = 0.9  # confidence of a file that names its own modality and body part
_OF_PAGE = re.compile(r"(.+#p\d+)(?:~\d+|f\d+)?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle on a page (PDF points) or an image (pixels); origin top left, ``x0 <= x1`` and ``y0 <= y1``."""

    x0: float
    y0: float
    x1: float
    y1: float

    def __post_init__(self) -> None:
        if self.x0 > self.x1 or self.y0 > self.y1:
            raise ValueError(f"box corners are swapped: {self}")

    @property
    def area(self) -> float:
        return (self.x1 - self.x0) * (self.y1 - self.y0)

    def union(self, other: Box) -> Box:
        return Box(min(self.x0, other.x0), min(self.y0, other.y0), max(self.x1, other.x1), max(self.y1, other.y1))

    def scaled(self, factor: float) -> Box:
        return Box(self.x0 * factor, self.y0 * factor, self.x1 * factor, self.y1 * factor)


@dataclass(frozen=True, slots=True)
class Block:
    """A run of text in reading order with its place: one paragraph, heading, caption or table of a page."""

    text: str
    page: int | None = None  # 1-based
    box: Box | None = None
    role: Literal["body", "heading", "caption", "table"] = "body"


@dataclass(frozen=True, slots=True)
class Document:
    """A text document with sections (a guideline, an article, a set of answers): chunked into passages."""

    id: str
    title: str
    blocks: tuple[Block, ...]
    source: str = ""
    meta: Meta = field(default_factory=dict)
    kind: Literal["document"] = "document"

    @property
    def doc(self) -> str:
        return self.id

    @property
    def text(self) -> str:
        return "\n".join(block.text for block in self.blocks)


@dataclass(frozen=True, slots=True)
class Passage:
    """A chunk of a document, page or report, small enough to be embedded; keeps where it stood."""

    id: str
    doc: str
    text: str
    title: str = ""
    section: str = ""
    page: int | None = None
    boxes: tuple[Box, ...] = ()
    source: str = ""
    meta: Meta = field(default_factory=dict)
    kind: Literal["passage"] = "passage"


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a PDF: its blocks in reading order, its size in points, and the file to draw it from."""

    id: str
    doc: str
    number: int  # 1-based
    blocks: tuple[Block, ...]
    width: float
    height: float
    source: str  # path of the PDF
    title: str = ""
    meta: Meta = field(default_factory=dict)
    kind: Literal["page"] = "page"

    @property
    def text(self) -> str:
        return "\n".join(block.text for block in self.blocks)


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """One image: a file, a frame of a DICOM, or a figure on a page (``page`` and ``box`` set, source the PDF)."""

    id: str
    doc: str  # the study, page or document it belongs to
    text: str  # caption or labels; may be empty
    source: str  # path
    domain: str = "other"
    view: str = ""  # e.g. Frontal, Lateral
    frame: int = 0
    page: int | None = None
    box: Box | None = None
    meta: Meta = field(default_factory=dict)
    kind: Literal["image"] = "image"


@dataclass(frozen=True, slots=True)
class Study:
    """One examination of one patient: the report by section, its images, its labels."""

    id: str
    sections: Mapping[str, str]  # lower-case names: findings, impression, indication, comparison
    images: tuple[str, ...] = ()  # ids of ImageRecords
    labels: tuple[str, ...] = ()  # e.g. MeSH headings
    patient: str = ""
    date: str = ""  # ISO 8601
    domain: str = "other"
    source: str = ""
    meta: Meta = field(default_factory=dict)
    kind: Literal["study"] = "study"

    @property
    def doc(self) -> str:
        return self.id

    @property
    def text(self) -> str:
        wanted = ("findings", "impression")
        return "\n".join(self.sections[name] for name in wanted if self.sections.get(name))


@dataclass(frozen=True, slots=True)
class Concept:
    """A term of an ontology with its UMLS concept identifiers (CUIs) and cross-references."""

    id: str  # e.g. mondo:MONDO:0005061
    name: str
    synonyms: tuple[str, ...] = ()
    cuis: tuple[str, ...] = ()
    definition: str = ""
    types: tuple[str, ...] = ()  # UMLS semantic types (TUIs), or the ontology's own classes
    xrefs: tuple[str, ...] = ()  # CURIEs
    meta: Meta = field(default_factory=dict)
    kind: Literal["concept"] = "concept"

    @property
    def doc(self) -> str:
        return self.id

    @property
    def text(self) -> str:
        return f"{self.name}: {self.definition}" if self.definition else self.name


@dataclass(frozen=True, slots=True)
class Triple:
    """One statement of the knowledge graph, or a path of several (``meta['path']``), readable as a sentence."""

    id: str
    doc: str  # where it comes from: an ontology or a report
    subject: str
    relation: str
    object: str
    subject_id: str = ""
    object_id: str = ""
    polarity: Literal["present", "absent", "uncertain"] = "present"
    meta: Meta = field(default_factory=dict)
    kind: Literal["triple"] = "triple"

    @property
    def text(self) -> str:
        return str(self.meta.get("sentence") or f"{self.subject} {self.relation.replace('_', ' ')} {self.object}")


def domain_of(item: Item) -> str:
    """The domain that an item declares; empty when it declares none or "other"."""
    domain = getattr(item, "domain", "") or str(item.meta.get("domain", ""))
    return "" if domain == "other" else domain


def page_id(item_id: str) -> str:
    """The id of the page that an item is, or stands on, as its own id tells; empty where there is none.

    >>> page_id("books:a#p2"), page_id("books:a#p2~0"), page_id("books:a#p2f1"), page_id("films:1")
    ('books:a#p2', 'books:a#p2', 'books:a#p2', '')
    """
    found = _OF_PAGE.fullmatch(item_id)
    return found[1] if found else ""


Item = Document | Passage | Page | ImageRecord | Study | Concept | Triple


def names_of(item: Item) -> set[str]:
    """What excludes and deletes an item: its id, its document, the page that it is of, and of a statement the passage that makes it and its page."""
    passage = str(item.meta.get("passage", ""))
    return {item.id, item.doc, page_id(item.id), passage, page_id(passage)} - {""}


KINDS: Mapping[str, type[Any]] = {
    "document": Document,
    "passage": Passage,
    "page": Page,
    "image": ImageRecord,
    "study": Study,
    "concept": Concept,
    "triple": Triple,
}


def item_to_json(item: Item) -> str:
    """The item as one line of JSON; `item_from_json` gives it back equal."""
    return json.dumps(item, default=_fields, ensure_ascii=False, separators=(",", ":"))


def _fields(record: Any) -> dict[str, Any]:
    """A record's fields by name, not copied as `dataclasses.asdict` would; TypeError for what is no record."""
    if not dataclasses.is_dataclass(record):
        raise TypeError(f"{type(record).__name__} is not JSON")
    return {name: getattr(record, name) for name in record.__dataclass_fields__}


def item_from_json(line: str) -> Item:
    """The inverse of `item_to_json`; raises ValueError for an unknown kind."""
    raw = json.loads(line)
    cls = KINDS.get(raw.get("kind"))
    if cls is None:
        raise ValueError(f"unknown item kind {raw.get('kind')!r}")
    for name in ("synonyms", "cuis", "types", "xrefs", "images", "labels"):
        if name in raw:
            raw[name] = tuple(raw[name])
    if "boxes" in raw:
        raw["boxes"] = tuple(Box(**b) for b in raw["boxes"])
    if raw.get("box"):
        raw["box"] = Box(**raw["box"])
    if "blocks" in raw:
        raw["blocks"] = tuple(Block(**{**b, "box": Box(**b["box"]) if b["box"] else None}) for b in raw["blocks"])
    item: Item = cls(**raw)
    return item


@dataclass(frozen=True, slots=True, eq=False)
class QueryImage:
    """An image of the question, decoded: 8-bit RGB or L, with what its file said about itself."""

    image: Image
    source: str = ""
    sha256: str = ""  # of the decoded pixels
    meta: Meta = field(default_factory=dict)  # e.g. {"modality": "CR", "body_part": "CHEST"} from DICOM


@dataclass(frozen=True, slots=True)
class Where:
    """What part of an index is searched (see `medrag.retrieve.within`); an empty field asks for nothing."""

    domain: str = ""
    license: str = ""
    patient: str = ""
    since: str = ""  # a day, 2020-01-05
    until: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Query:
    """What is asked: text, images, or both. Items that ``exclude`` names never come back (see `names_of`)."""

    text: str
    images: tuple[QueryImage, ...] = ()
    exclude: frozenset[str] = frozenset()
    domain: str = ""  # set by the pipeline when the router is sure; items of other domains are then not used
    where: Where | None = None  # the part of the index that is searched


@dataclass(frozen=True, slots=True)
class Hit:
    """An item that a retriever found. ``parents`` are the hits that a fused hit came from."""

    item: Item
    score: float
    rank: int  # 1-based
    retriever: str
    parents: tuple[Hit, ...] = ()

    @property
    def sources(self) -> tuple[str, ...]:
        return tuple(sorted({parent.retriever for parent in self.parents})) or (self.retriever,)


@dataclass(frozen=True, slots=True)
class Route:
    """Where to look and why: the domain with its confidence, and a weight for each retriever (all 0: do not retrieve)."""

    domain: str
    confidence: float
    weights: Mapping[str, float]
    reasons: tuple[str, ...] = ()
    shows: str = ""  # the domain that the picture surely is of, whatever the question says; empty where that is open
    each: tuple[str, ...] = ()  # the same of each of several pictures

    @property
    def retrieves(self) -> bool:
        return any(weight > 0 for weight in self.weights.values())

    @property
    def asks(self) -> str:
        """The domain whose items are used: "other" only where that is sure, as of a film whose file says HAND; empty where none is."""
        return self.domain if self.domain != "other" or self.confidence >= SURE - 1e-9 else ""


@dataclass(frozen=True, slots=True)
class Drop:
    """A hit that was not used, and why."""

    hit: Hit
    reason: str


@dataclass(frozen=True, slots=True)
class Frequency:
    """How often the studies that look most like the question's pictures report the finding asked about (see `medrag.retrieve.frequency`)."""

    finding: str  # in the question's words
    alike: tuple[int, int]  # of the look-alike studies: those that report it, and all
    usual: tuple[int, int]  # the same of studies drawn from the whole index
    lift: float  # log odds that this adds to "yes"

    @property
    def text(self) -> str:
        """One sentence of it.

        >>> Frequency("cardiomegaly", (46, 200), (40, 500), 1.2).text
        'of the 200 studies that look most alike 23 % report cardiomegaly, of all studies 8 %'
        """
        near, every = (f"{100 * part / max(whole, 1):.3g} %" for part, whole in (self.alike, self.usual))
        return (
            f"of the {self.alike[1]} studies that look most alike {near} report {self.finding}, of all studies {every}"
        )


@dataclass(frozen=True, slots=True)
class Labelled:
    """How the pictures that look most like the question's are labelled (see `medrag.retrieve.labelled`)."""

    labels: tuple[tuple[str, int], ...]  # each label and how many of the look-alike pictures bear it, most first
    alike: int  # look-alike pictures
    asked: tuple[int, int] | None = (
        None  # how many of them, and of the drawn ones, bear what a closed question asks about; None: no label tells
    )
    drawn: int = 0  # pictures drawn from the whole index
    nearest: tuple[str, ...] = ()  # ids of the look-alike pictures, the most alike first
    such: tuple[str, ...] = ()  # the labels that say that what a closed question asks about is there

    @property
    def text(self) -> str:
        """One sentence of it.

        >>> Labelled((("Nevus", 12), ("Melanoma", 4)), 16).text
        'of the 16 labelled pictures that look most alike 12 are labelled "Nevus", 4 "Melanoma"'
        """
        first, *others = [f'"{label}"' for label, _ in self.labels[:5]]
        counts = [count for _, count in self.labels]
        named = [f"{counts[0]} {'is' if counts[0] == 1 else 'are'} labelled {first}"]
        named += [f"{count} {label}" for count, label in zip(counts[1:], others, strict=False)]
        return f"of the {self.alike} labelled pictures that look most alike {', '.join(named)}"


@dataclass(frozen=True, slots=True, eq=False)
class Context:
    """The evidence that the generator sees: kept hits in order (E1 is ``kept[0]``), what was dropped and why."""

    query: Query
    kept: tuple[Hit, ...] = ()
    dropped: tuple[Drop, ...] = ()
    tokens: int = 0
    notes: tuple[str, ...] = ()  # e.g. where the gap rule fired
    frequency: Frequency | None = None  # of the finding asked about among look-alike studies
    labelled: Labelled | None = None  # what look-alike pictures without a report are

    def __iter__(self) -> Iterator[tuple[str, Hit]]:
        """Evidence keys with their hits: ``("E1", hit), …``."""
        return iter((f"E{n}", hit) for n, hit in enumerate(self.kept, start=1))


@dataclass(frozen=True, slots=True)
class Citation:
    """An evidence key of the answer, resolved: the item, the quoted words, the page and the region."""

    key: str
    item: Item
    quote: str = ""
    page: int | None = None
    boxes: tuple[Box, ...] = ()
    support: float | None = None  # share of the claim's content words that the quote holds, 0–1

    def show(self) -> Image:
        """The page with the region marked, or the image of the case; a rendered text card where there is neither."""
        from medrag._util.draw import picture_of

        return picture_of(self.item, self.boxes)


@dataclass(frozen=True, slots=True)
class Claim:
    """A sentence of an answer, checked: what the evidence says of it, and what the image's reader does.

    The evidence is what the sentence cites, or all that was shown where it cites nothing. ``key`` and ``quote`` are the sentence that
    decides; ``seen`` is empty where no reader looked or none of its findings is named. A claim that is borne out by evidence of other
    patients and not by the image was copied rather than seen.
    """

    text: str
    keys: tuple[str, ...]
    verdict: Literal["supported", "contradicted", "absent"]
    key: str = ""
    quote: str = ""
    seen: Literal["supported", "contradicted", ""] = ""


Status = Literal["answered", "abstained", "uncited"]


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """A text with its evidence. ``print(answer)`` shows both; ``answer.explain()`` shows how it came about."""

    text: str
    status: Status
    citations: tuple[Citation, ...]
    context: Context
    route: Route
    model: str = ""
    reason: str = ""  # why abstained or uncited; of an answered one, which evidence disagrees
    usage: Meta = field(default_factory=dict)
    timings: Mapping[str, float] = field(default_factory=dict)  # seconds by stage
    fingerprint: str = ""
    claims: tuple[Claim, ...] = ()  # what it says, each sentence checked against its evidence
    confidence: float | None = (
        None  # calibrated probability that it is right; None where nothing was calibrated (medrag calibrate)
    )
    trace: tuple[Meta, ...] = ()  # the steps of the search loop (medrag.agent), where it found the evidence

    def __str__(self) -> str:
        from medrag._util.render import answer_text

        return answer_text(self)

    def explain(self) -> str:
        """Route, hits by retriever, what was kept and dropped and why, and the time that each stage took."""
        from medrag._util.render import explain_text

        return explain_text(self)

    def to_dict(self) -> dict[str, Any]:
        """Everything but pixels, as plain JSON-able values."""
        from medrag._util.render import answer_dict

        return answer_dict(self)

    def _repr_html_(self) -> str:
        from medrag._util.html import answer_fragment

        return answer_fragment(self)


def as_tuple(value: Any) -> tuple[Any, ...]:
    """A sequence that is no string and no bytes as a tuple; anything else as a tuple of one."""
    if isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray | memoryview):
        return tuple(value)
    return (value,)
