"""What people may set, checked when it is read: unknown names are refused with the nearest known one.

A recipe (``indexes/<name>/recipe.yaml``) says what is indexed and how questions are answered from it. Settings are
frozen; `fingerprint` of the parts that shape an index names the index that was built from them.
"""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from medrag._implied import implied, kinds_read
from medrag._util.files import sha256_text
from medrag._util.near import meant
from medrag._util.places import every_built, placed, share
from medrag.errors import SettingsError
from medrag.types import Domain


def _number(value: float) -> float:
    """Raises ValueError for NaN, which nothing is above or below."""
    if math.isnan(value):
        raise ValueError("it is not a number")
    return value


Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Bound = Annotated[float, AfterValidator(_number)]


class Strict(BaseModel):
    """Frozen, and closed to names that nothing reads."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class CorpusSettings(Strict):
    """One corpus of a recipe. ``path`` may use ``~``, ``${VAR}``, ``share:corpora/…`` and ``package:NAME/file``; one that
    is relative starts from the folder of the recipe's file."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    reader: str
    path: str
    options: dict[str, Any] = {}
    access: tuple[str, ...] = ()  # labels; who does not hold all of them never sees an item of it (medrag/access.py)


class EncoderSettings(Strict):
    """One encoder: a name of ``presets/models.yaml``, a hub id, or a folder."""

    model: str
    kind: str = ""  # plug-in name; taken from the preset where empty
    batch: int = Field(32, ge=1)
    device: str = "auto"
    options: dict[str, Any] = {}


class IndexSettings(Strict):
    """One index: which items go into it and how they are searched."""

    kind: str = "faiss"
    encoder: str = ""  # a key of ``encoders``; empty for bm25
    retriever: str = ""  # its name in routes and weights; empty: dense, lexical or similar, by kind and encoder
    items: tuple[Literal["passage", "image", "concept", "triple", "page", "study"], ...] = ("passage",)
    corpora: tuple[str, ...] = ()  # empty: all
    options: dict[str, Any] = {}


class ChunkSettings(Strict):
    """How text is cut into passages; sizes in estimated sub-word tokens."""

    tokens: int = Field(180, ge=16, le=2048)
    overlap: int = Field(0, ge=0)
    studies: bool = True  # reports too; false where an index takes studies whole


class GraphSettings(Strict):
    """What the graph takes from texts beside the ontologies; see `medrag.graph.said`."""

    said: tuple[Literal["reports", "passages"], ...] = ()


class SelectSettings(Strict):
    """Adaptive context selection (see medrag/select.py)."""

    k_min: int = Field(1, ge=0)
    k_max: int = Field(10, ge=1)
    budget: int = Field(1200, ge=16)  # tokens
    # by retriever; one that is not named is not cut in that way (the graph's definitions and paths have two scales)
    gaps: dict[str, Bound] = {
        "dense": 0.35,
        "reports": 0.35,
        "similar": 0.35,
        "lexical": 0.5,
        "reports-lexical": 0.5,
    }  # γ
    floors: dict[str, Bound] = {"dense": 0.25, "reports": 0.25, "similar": 0.45}  # lowest score that counts
    shares: dict[str, Bound] = {
        "dense": 0.7,
        "reports": 0.7,
        "lexical": 0.5,
        "reports-lexical": 0.5,
    }  # of the best score
    temperature: float = Field(1.0, gt=0)
    # maximal marginal relevance: what the score weighs against novelty, 1 the score alone; null: in the order of the scores
    mmr: float | None = Field(None, ge=0, le=1)
    near_duplicate: float = Field(0.9, gt=0, le=1)  # Jaccard overlap of content words
    same_image: float = Field(0.9995, gt=0, le=1)  # image similarity from which a hit is the question's own image
    per_place: int = Field(3, ge=1)  # pieces kept of the same study or page
    quota: int = Field(3, ge=1)  # pieces kept of one corpus and kind
    instructions: Literal["drop", "keep"] = (
        "drop"  # texts that speak to a machine instead of a reader (medrag/_util/instructions.py)
    )


class PipelineSettings(Strict):
    """How a question is answered."""

    model: str = "extractive"
    model_options: dict[str, Any] = {}
    retrievers: tuple[str, ...] = ()  # of those that the recipe has indexes for; empty: all
    weights: dict[str, Weight] = {}  # of the retrievers, over the router's
    k: int = Field(20, ge=1)  # hits asked of each retriever
    fusion: Literal["rrf", "weighted"] = "rrf"
    rrf_c: int = Field(60, ge=0)
    alike: int = Field(200, ge=0)  # look-alike studies whose reports are counted for a closed question; 0: none
    expand: Literal["none", "synonyms", "narrower"] = "none"  # the question's concepts by other names, and those below
    link_near: str = ""  # a text encoder, of the recipe or by its model's name: terms of a question that the graph does not know, by the nearest name
    graph_sees: str = ""  # an encoder with a findings reader: what it sees on a chest film is asked of the graph too
    graph_alike: bool = (
        False  # and so is what at least half of the reports of look-alike studies state (medrag/retrieve/alike.py)
    )
    access: tuple[str, ...] = ()  # the labels that the asker holds
    private: bool = False  # the generator is shown the graph's statements and definitions alone: no text of a document
    page_fusion: Literal["sum", "max", "patho"] = "sum"  # pages asked with text and an image (medrag/retrieve/pages.py)
    page_images: int = Field(
        2, ge=0
    )  # crops of cited pages shown to a generator that takes several images (`many_images`)
    misfit: Literal["abstain", "answer"] = "abstain"  # what its picture cannot answer (medrag/misfit.py)
    domain: Domain | Literal[""] = ""  # what every picture is that is asked about; empty: the router says it
    margin: float = Field(0.15, ge=0, le=1)  # router: below this lead all sources are asked
    select: SelectSettings = SelectSettings()  # type: ignore[call-arg]
    unsupported: Literal["mark", "remove", "abstain"] = "mark"  # claims that neither evidence nor image bears out
    entailment: str = ""  # a classifier of natural language inference by its name, folder or hub id, asked of claims that the rules leave open
    calibration: str = "auto"  # a file of `medrag calibrate`; auto: the index's own where it fits, off: none
    risk: float | None = Field(None, gt=0, lt=1)  # abstain where a calibrated answer would be wrong more often
    max_tokens: int = Field(256, ge=1)
    seed: int = 0


class Recipe(Strict):
    """A whole recipe: what is read, encoded, indexed, and how it is asked."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    about: str = ""
    corpora: tuple[CorpusSettings, ...]
    chunk: ChunkSettings = ChunkSettings()  # type: ignore[call-arg]
    encoders: dict[str, EncoderSettings] = {}
    indexes: dict[str, IndexSettings] = {}
    graph: GraphSettings = GraphSettings()
    router: str = ""  # a router head of ``presets/models.yaml``; empty: the image's own metadata and the words decide
    pipeline: PipelineSettings = PipelineSettings()  # type: ignore[call-arg]
    expected: dict[str, int] = {}  # items by kind, checked after a build
    implied: bool = False  # the file names no indexes: these are what its corpora call for (medrag/_implied.py)

    @model_validator(mode="after")
    def _names_fit(self) -> Recipe:
        known = {corpus.name for corpus in self.corpora}
        if len(known) != len(self.corpora):
            raise ValueError("two corpora have the same name")
        for name, index in self.indexes.items():
            if index.encoder and index.encoder not in self.encoders:
                raise ValueError(f"indexes.{name}: no encoder is named {index.encoder!r}")
            if strange := set(index.corpora) - known:
                raise ValueError(f"indexes.{name}: no corpus is named {sorted(strange)[0]!r}")
        return self

    def fingerprint(self, *, corpora: bool = True) -> str:
        """Changes when the built index would; the pipeline's settings do not count, the corpora only when asked."""
        parts = {"name", "chunk", "encoders", "indexes"} | ({"corpora"} if corpora else set())
        parts |= (
            {"graph"} if self.graph.said else set()
        )  # indexes that were built before it was there stay what they are
        shaping = self.model_dump(mode="json", include=parts)
        for encoder in shaping["encoders"].values():  # how fast, not what
            encoder.pop("batch"), encoder.pop("device")
        for index in shaping["indexes"].values():  # what it is called when it is searched
            index.pop("retriever")
        labels = [corpus.pop("access") for corpus in shaping.get("corpora", ())]  # which they are shapes nothing
        if any(labels):
            shaping["labelled"] = True  # the graph's statements are kept, so that a part of it can be made
        return sha256_text(json.dumps(shaping, sort_keys=True))[:16]

    def placed(self, base: Path) -> Recipe:
        """The recipe that means the same from any working directory: relative paths of corpora start from ``base``."""
        corpora = tuple(one.model_copy(update={"path": placed(one.path, base)}) for one in self.corpora)
        return self.model_copy(update={"corpora": corpora})


def recipe_file(name_or_path: str | Path) -> Path:
    """The file of a recipe: a YAML file by its path, or that of a folder under ``indexes/`` by its name.

    Raises SettingsError where there is none.
    """
    path = Path(name_or_path)
    if path.suffix not in (".yaml", ".yml"):
        path = share() / "indexes" / str(name_or_path) / "recipe.yaml"
    if not path.is_file():
        known = sorted({p.parent.name for p in (share() / "indexes").glob("*/recipe.yaml")} | set(every_built()))
        otherwise = f"known: {', '.join(known) or 'none'}; or give the path of a YAML file"
        raise SettingsError(f"there is no recipe {str(name_or_path)!r}", meant(str(name_or_path), known, otherwise))
    return path


def load_recipe(name_or_path: str | Path) -> Recipe:
    """A recipe by the name of a folder under ``indexes/`` or by the path of a YAML file; one that says nothing of indexes gets those that
    its corpora call for.

    Raises SettingsError for a name that does not exist and for anything in it that nothing reads.
    """
    path = recipe_file(name_or_path)
    values = read_yaml(path)
    recipe: Recipe = parse(Recipe, values, str(path))
    return completed(recipe).placed(path.parent)


def completed(recipe: Recipe) -> Recipe:
    """A recipe that says nothing of indexes with those that its corpora call for, and their encoders; any other as it is."""
    missing = implied(kinds_read(corpus.reader for corpus in recipe.corpora))
    if "indexes" in recipe.model_fields_set or not missing:
        return recipe
    given = recipe.model_dump(include=recipe.model_fields_set)
    encoders = {**missing.get("encoders", {}), **given.get("encoders", {})}
    return Recipe.model_validate({**missing, **given, "encoders": encoders, "implied": True})


def read_yaml(path: Path) -> Any:
    """Plain values of a YAML file. Raises SettingsError for what is not readable."""
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # numbers too long, lists too deep
        raise SettingsError(f"{path} is not readable YAML: {' '.join(str(error).split())}", "mend the file") from error


def parse(cls: type[Any], raw: Any, where: str) -> Any:
    """Settings from plain values; the first problem becomes a SettingsError with the nearest known name."""
    try:
        return cls.model_validate(raw)
    except ValidationError as error:
        problem = error.errors()[0]
        parts = map(str, problem["loc"])
        spot = ".".join(part for part in parts if not part.startswith("literal["))  # which names no setting
        said, hint = _told(cls, problem, "mend the file" if Path(where).suffix in (".yaml", ".yml") else "")
        raise SettingsError(f"{where}: {spot or 'the whole'}: {said}", hint) from error


def _told(cls: type[BaseModel], problem: Any, usual: str) -> tuple[str, str]:
    """What is wrong and what to do about it; ``usual`` where that is not known better."""
    if problem["type"] == "extra_forbidden":
        return problem["msg"], _meant(cls, str(problem["loc"][-1]))
    if problem["type"] == "literal_error":
        given, known = str(problem["input"]), re.findall(r"'([^']+)'", problem["ctx"]["expected"])
        return f"{given[:60]!r} is not known", meant(given, known)
    return problem["msg"], usual or "give another value"


def _meant(cls: type[BaseModel], name: str) -> str:
    """What to do with a setting that does not exist where it stands."""
    for outer in (cls, *Strict.__subclasses__()):
        for place, field in outer.model_fields.items():
            inner = field.annotation
            if isinstance(inner, type) and issubclass(inner, Strict) and name in inner.model_fields:
                return f"it belongs under {place}: {{{name}: …}}"
    return meant(name, sorted(_field_names(cls) - {name}), "take it out; nothing reads it")


def _field_names(cls: type[BaseModel]) -> set[str]:
    """The names of a settings class and of the classes inside it."""
    found = set(cls.model_fields)
    for inner in Strict.__subclasses__():
        found |= set(inner.model_fields)
    return found


def override(settings: PipelineSettings, changes: dict[str, Any]) -> PipelineSettings:
    """The settings with some fields changed (``select`` by its own fields), checked as if read from a file."""
    merged = settings.model_dump() | changes
    if isinstance(changes.get("select"), dict):
        merged["select"] = settings.select.model_dump() | changes["select"]
    checked: PipelineSettings = parse(PipelineSettings, merged, "pipeline")
    return checked
