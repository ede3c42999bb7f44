"""Names that people type, turned into classes: only at the edges (corpora, encoders, indexes, vlms, scorers).

A name is looked up here, then among installed entry points of the group ``medrag.<kind>``; ``module:Class`` is taken
as it is. Modules are imported at the moment of use.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import inspect
from typing import Any

from medrag._util.near import meant
from medrag.errors import MedragError, MissingDependency, SettingsError

BUILTIN: dict[str, dict[str, str]] = {
    "corpora": {
        "pdf": "medrag.corpora.pdf:PdfPages",
        "openi": "medrag.corpora.reports:OpenIReports",
        "reports-csv": "medrag.corpora.reports:CsvReports",
        "reports-jsonl": "medrag.corpora.reports:JsonlReports",
        "fhir": "medrag.corpora.fhir:FhirReports",
        "images": "medrag.corpora.images:ImageFolder",
        "dicom": "medrag.corpora.dicom:DicomFolder",
        "medquad": "medrag.corpora.qa:MedQuad",
        "text": "medrag.corpora.qa:TextFiles",
        "obo-graph": "medrag.corpora.ontology:OboGraph",
        "obo": "medrag.corpora.ontology:Obo",
        "rrf": "medrag.corpora.rrf:Rrf",
        "mesh": "medrag.corpora.ontology:Mesh",
        "radlex": "medrag.corpora.ontology:RadLex",
        "hpoa": "medrag.corpora.ontology:HpoAnnotations",
        "sssom": "medrag.corpora.ontology:Sssom",
        "edges": "medrag.corpora.ontology:EdgeList",
    },
    "encoders": {
        "sentence-transformers": "medrag.encoders.text:SentenceEncoder",
        "timm": "medrag.encoders.image:TimmEncoder",
        "open-clip-image": "medrag.encoders.image_text:OpenClipImages",
        "open-clip-text": "medrag.encoders.image_text:OpenClipTexts",
        "bert": "medrag.encoders.bert:BertEncoder",
        "clip-image": "medrag.encoders.clip:ClipImages",
        "clip-text": "medrag.encoders.clip:ClipTexts",
        "flair-image": "medrag.encoders.flair:FlairImages",
        "flair-text": "medrag.encoders.flair:FlairTexts",
        "pmc-clip-image": "medrag.encoders.open_towers:PmcClipImages",
        "pmc-clip-text": "medrag.encoders.open_towers:PmcClipTexts",
        "unimed-image": "medrag.encoders.open_towers:UniMedImages",
        "conch-image": "medrag.encoders.conch:ConchImages",
        "conch-text": "medrag.encoders.conch:ConchTexts",
        "pages": "medrag.encoders.pages:PageEncoder",
        "late-interaction": "medrag.encoders.late_interaction:LateInteraction",
    },
    "indexes": {
        "flat": "medrag.indexes.flat:FlatIndex",
        "faiss": "medrag.indexes.faiss:FaissIndex",
        "bm25": "medrag.indexes.bm25:Bm25Index",
        "multivector": "medrag.indexes.multivector:MultiVectorIndex",
        "milvus": "medrag.indexes.milvus:MilvusIndex",
    },
    "vlms": {
        "extractive": "medrag.vlms.extractive:Extractive",
        "transformers": "medrag.vlms.transformers:Transformers",
        "openai": "medrag.vlms.openai:OpenAICompatible",
        "langchain": "medrag.vlms.langchain:LangChainModel",
        "medrag-small": "medrag.vlms.small:MedragSmall",
        "replay": "medrag.vlms.replay:Replay",
    },
    "readers": {"findings": "medrag.encoders.findings:FindingsReader"},
    "scorers": {
        "findings": "medrag.score.findings:Findings",
        "entities": "medrag.score.entities:Entities",
        "factuality": "medrag.score.factuality:Factuality",
        "bleu": "medrag.score.overlap:Bleu",
        "rouge-l": "medrag.score.overlap:RougeL",
        "meteor": "medrag.score.overlap:Meteor",
        "cider": "medrag.score.overlap:Cider",
        "closed": "medrag.score.closed:Closed",
        "open": "medrag.score.open_answers:OpenAnswers",
        "ranking": "medrag.score.ranking:Ranking",
        "linking": "medrag.eval.linking:Linking",
        "page-ranking": "medrag.eval.page_questions:PageRanking",
        "routing": "medrag.eval.routing:Routing",
        "selection": "medrag.eval.selection:Selection",
        "hops": "medrag.eval.hops:HopsFound",
        "grounding": "medrag.score.grounding:Grounding",
        "abstention": "medrag.score.abstention:Abstention",
        "cost": "medrag.score.cost:Cost",
        "bertscore": "medrag.score.neural:BertScore",
        "radgraph": "medrag.score.neural:RadGraphF1",
        "ratescore": "medrag.score.neural:RateScore",
        "green": "medrag.score.neural:Green",
    },
}

CONSTRUCTED = {  # how a class of one's own is called; of the options it may take fewer or none
    "corpora": "(name, path, **options)",
    "encoders": "(model, *, batch, device, **options)",
    "vlms": "(model, **options)",
}


def names(kind: str) -> list[str]:
    """All names of a kind, built in and installed."""
    return sorted({*BUILTIN[kind], *(entry.name for entry in importlib.metadata.entry_points(group=f"medrag.{kind}"))})


def load(kind: str, name: str) -> Any:
    """The class behind a name. Raises SettingsError with the nearest names, or with what is wrong inside a plug-in; MissingDependency with the pip line."""
    target = BUILTIN[kind].get(name) or (name if ":" in name else _installed(kind, name))
    module, _, attribute = target.partition(":")
    found = _module(kind, name, module)
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise SettingsError(f"{kind}: {module} has no {attribute}", "check the spelling of module:Class")
        found = getattr(found, part)
    if not callable(found):
        raise SettingsError(f"{kind}: {target} is a {type(found).__name__}, no class", "name the class: module:Class")
    return found


def make(kind: str, name: str, cls: Any, *args: Any, **options: Any) -> Any:
    """An object of a plug-in's class. Raises SettingsError where it is not constructed as its kind is (`CONSTRUCTED`)."""
    try:
        inspect.signature(cls).bind(*args, **options)
    except ValueError:  # a class without a signature
        pass
    except TypeError as error:
        raise SettingsError(
            f"{kind}: {name}: {error}", f"it is made as Class{CONSTRUCTED[kind]}: see that it takes these"
        ) from error
    return cls(*args, **options)


def _installed(kind: str, name: str) -> str:
    """``module:Class`` of an installed entry point."""
    for entry in importlib.metadata.entry_points(group=f"medrag.{kind}", name=name):
        return entry.value.partition("[")[0].strip()
    raise SettingsError(f"{kind}: nothing is named {name!r}", meant(name, names(kind)))


def _module(kind: str, name: str, module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if missing.partition(".")[0] == "medrag":
            raise SettingsError(f"{kind}: {module} does not exist", "check the spelling of module:Class") from error
        if name in BUILTIN[kind]:
            raise MissingDependency(f"{name!r} needs the package {missing}", f"pip install {missing}") from error
        # of the user's own: a package that bears the name by chance is not to be installed
        raise SettingsError(
            f"{kind}: {name} needs the module {missing}, which is not to be found",
            f"put the folder that holds {missing} on the path: PYTHONPATH=/the/folder medrag …",
        ) from error
    except Exception as error:
        if name in BUILTIN[kind] or isinstance(error, MedragError):
            raise
        line = " ".join(str(error).split())
        raise SettingsError(
            f"{kind}: {module} cannot be imported: {type(error).__name__}: {line}",
            f"mend it: python -c 'import {module}'",
        ) from error
