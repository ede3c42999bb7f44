"""An opened index with its parts: how it is opened, what it is told by, its copies for others and over less, and how it is closed.

What is asked of it stands in `medrag.pipeline`.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import json
import weakref
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from medrag._around import Closed, name_of
from medrag._util import offline, usual
from medrag._util.files import sha256_file, sha256_text
from medrag._util.places import beside, share
from medrag.audit import AuditLog
from medrag.calibration import NAME as CALIBRATION
from medrag.calibration import Calibration, open_calibration
from medrag.errors import SettingsError
from medrag.indexes.manifest import read_manifest
from medrag.settings import PipelineSettings, Recipe
from medrag.types import Where

if TYPE_CHECKING:
    from medrag.entailment import Entailment
    from medrag.indexes.store import Store
    from medrag.protocols import Generator, Retriever, Router, Selector
    from medrag.retrieve.search import Memo

WEIGHED = (  # settings that change what an answer is worth: a calibration is made for them
    "retrievers", "weights", "k", "fusion", "rrf_c", "alike", "expand", "graph_sees", "page_fusion", "page_images", "margin", "select", "max_tokens", "private",
)  # fmt: skip
ADDED = (
    "link_near",
    "graph_alike",
    "unsupported",
    "entailment",
)  # later ones: they count where they are set, so that calibrations made before hold


class Opened:
    """The parts of an opened index; see `medrag.MedRAG`."""

    def __init__(
        self, retrievers: Mapping[str, Retriever], router: Router, selector: Selector, generator: Generator,
        settings: PipelineSettings | None = None, store: Store | None = None, recipe: Recipe | None = None,
        encoders: Mapping[str, Memo] | None = None,
    ) -> None:  # fmt: skip
        self.retrievers, self.router, self.selector, self.generator = dict(retrievers), router, selector, generator
        self.settings = settings or PipelineSettings()  # type: ignore[call-arg]
        self.store, self.recipe, self.encoders = store, recipe, dict(encoders or {})
        self.audit: AuditLog | None = None
        self.part: Where | None = None  # of the index, where it is not all that is searched
        # it is closed with any of these groups; the first is its own, of `audited` copies and of what was opened from them
        self._groups: tuple[weakref.WeakSet[Opened], ...] = (weakref.WeakSet([self]),)

    @classmethod
    def open(
        cls, name_or_recipe: str | Path | Recipe, *, model: Any = None, build: bool = False,
        audit: str | Path | None = None, **overrides: Any,
    ) -> Self:  # fmt: skip
        """Opens the built index of a recipe; ``overrides`` are fields of `medrag.settings.PipelineSettings`.

        ``model`` is a generator: a name ("extractive", "medrag-small"), ``"openai:NAME"``, a hub id, a folder, a LangChain
        chat model, or any object with ``stream``. Nothing is downloaded. ``build=True`` builds what is not built.
        ``access``: the labels that the asker holds (`medrag.access`). ``audit``: a file that gets two lines for each question (`medrag.audit`).

        Raises IndexMissing, IndexMismatch or IndexCorrupt for the index, ModelMissing for weights that are not here,
        SettingsError for a setting that nothing reads.
        """
        from medrag.assemble import assemble

        offline.enforce_if_asked()
        opened = cls(**assemble(name_or_recipe, model, build, overrides))
        opened.audit = AuditLog.open(audit) if audit else None
        return opened

    def seen_by(self, access: Collection[str]) -> Self:
        """The same index, settings, encoders and generator for one who holds these labels (see `medrag.access`).

        Raises SettingsError for a pipeline that was closed or not opened from a recipe, and for one label that is given as it is.
        """
        seen = self._opened_for(access)
        return seen._listed(*seen._groups, *self._groups)

    def within(self, **wanted: str) -> Self:
        """The same over a part of its index: the items of a ``domain``, a ``license``, a ``patient``, of the days from ``since`` to ``until``
        (see `medrag.retrieve.within`). Nothing else is found, by answers, searches and chats; look-alike studies are not counted; the history of a
        patient (``patient=`` of the search loop) is read from all of his studies.

        Raises SettingsError for what is no day or no such field, and where nothing is asked for.
        """
        from medrag.retrieve.within import narrowed, within

        part = copy.copy(self)
        part.part = narrowed(self.part, wanted)
        part.retrievers = within(self.retrievers, part.part, self.store.items if self.store else None)
        part.__dict__.pop("fingerprint", None)
        part.__dict__["_counts"] = None
        return part._listed(*self._groups)

    def _opened_for(self, access: Collection[str]) -> Self:
        from medrag.assemble import assemble

        iter(self.retrievers)  # a closed one says so
        if self.recipe is None:
            raise SettingsError("labels are of a recipe's corpora, and there is none", "use MedRAG.open")
        if isinstance(access, str):
            raise SettingsError(f"access is the text {access!r}", f"give a list of labels: [{access!r}]")
        settings = self.settings.model_dump(exclude={"model", "model_options"}) | {"access": tuple(sorted(access))}
        seen = type(self)(**assemble(self.recipe, self.generator, False, settings, self.encoders))
        seen.audit = self.audit
        return seen.within(**dataclasses.asdict(self.part)) if self.part else seen

    @property
    def outdated(self) -> bool:
        """Whether it is to be opened anew: it was closed, or another index has taken its place. Raises IndexMissing where none is there any more."""
        if self.closed:
            return True
        if self.store is None:
            return False
        whole: Store = getattr(self.store, "_whole", self.store)  # of which this may be the part that one may see
        return read_manifest(whole.folder).content_hash != whole.manifest.content_hash

    def reopened(self) -> Self:
        """The same over the index as it lies on disk now, with encoders, generator, router and selector, and retrievers of one's own.

        Raises what `open` raises, IndexMismatch where the recipe of the index is another now.
        """
        fresh = self._opened_for(self.settings.access)
        own = {
            name: one
            for name, one in self.retrievers.items()
            if not type(getattr(one, "inner", one)).__module__.startswith("medrag.")
        }
        fresh.retrievers, fresh.settings = {**fresh.retrievers, **own}, self.settings
        fresh.router, fresh.selector = self.router, self.selector
        return fresh

    @property
    def closed(self) -> bool:
        """Whether `close` was called, of this one or of the one that it is a copy of."""
        return isinstance(self.retrievers, Closed)

    def close(self) -> None:
        """Lets files, and what encoders remember, go; whoever asks it afterwards, or a copy for others (`seen_by`, `audited`), is told so.

        A copy by `audited` is the same index: closing it closes all. Closing twice does nothing.
        """
        if self.closed:
            return
        graph, encoders = getattr(self.retrievers.get("graph"), "store", None), self.encoders
        self.encoders, self.retrievers = {}, Closed()
        for copied in list(self._groups[0]):
            copied.close()
        for one in (self.store and self.store.items, graph):
            if callable(close := getattr(one, "close", None)):
                close()
        for memo in encoders.values():
            memo.forget()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def audited(self, audit: AuditLog | None) -> Self:
        """The same pipeline with another audit log, or none."""
        same = copy.copy(self)
        same.audit = audit
        return same._listed(*self._groups)

    def _listed(self, *groups: weakref.WeakSet[Opened]) -> Self:
        """Itself, to be closed with any of the groups."""
        self._groups = groups
        for group in groups:
            group.add(self)
        return self

    @functools.cached_property
    def entailment(self) -> Entailment | None:
        """What infers whether evidence bears a claim out, where the settings name a model for it.

        Raises ModelMissing where its weights are not here.
        """
        from medrag.entailment import Entailment

        return Entailment(self.settings.entailment) if self.settings.entailment else None

    @functools.cached_property
    def calibration(self) -> Calibration | None:
        """The calibration that the settings name and that fits; see `medrag.calibration.open_calibration`.

        Raises SettingsError for a ``risk`` without one, or that it does not know.
        """
        name = self.recipe.name if self.recipe else ""
        places = (beside(name, CALIBRATION), share() / "indexes" / name / CALIBRATION) if name else ()
        usual = next((path for path in places if path.is_file()), None)
        found = open_calibration(self.settings.calibration, usual, self.calibrated_for)
        if self.settings.risk is not None:
            if found is None or not found.sorts:
                raise SettingsError(
                    "risk needs a calibration, and there is none of this index, model and settings", "medrag calibrate"
                )
            for sort in found.sorts:
                found.threshold(
                    sort, self.settings.risk
                )  # that the risk is among those calibrated is said before anything is written
        return found

    @functools.cached_property
    def calibrated_for(self) -> dict[str, str]:
        """What an answer's worth depends on, by name: hashes of the items and of the graph of the index, of how it was built, of the generator, the settings and the table of usual answers, and the router's name. The same on every machine."""
        settings = self.settings.model_dump(
            mode="json",
            include={
                *WEIGHED,
                *(one for one in ADDED if getattr(self.settings, one) != PipelineSettings.model_fields[one].default),
            },
        )
        if self.settings.select.mmr is None:
            del settings["select"]["mmr"]
        found = {"generator": getattr(self.generator, "fingerprint", "") or self.generator.name}
        found["settings"] = sha256_text(json.dumps(settings, sort_keys=True))[:16]
        found["usual"] = sha256_file(usual.PATH)[:16]
        if self.store:
            found["items"] = self.store.manifest.content.get("items", "")[:16]
            found["graph"] = self.store.manifest.content.get("graph", "")[:16]
        if self.recipe:
            found |= {"index": self.recipe.fingerprint(corpora=False), "router": self.recipe.router}
        return found

    @functools.cached_property
    def fingerprint(self) -> str:
        """Changes when the index, the generator, a setting or the calibration does."""
        index = self.store.manifest.content_hash if self.store else ""
        settings = json.dumps(self.settings.model_dump(), sort_keys=True, default=name_of)
        generator = getattr(self.generator, "fingerprint", "") or self.generator.name
        known = json.dumps(dataclasses.asdict(self.calibration), sort_keys=True) if self.calibration else ""
        part = json.dumps(dataclasses.asdict(self.part), sort_keys=True) if self.part else ""
        return sha256_text(index, generator, settings, known, *filter(None, (part,)))[:16]
