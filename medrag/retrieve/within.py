"""A part of an index by domain, licence, patient and day: what else is there is neither found nor counted.

What may be found is worked out once for each filter, and goes into the search of every index as the ids that are allowed (FAISS's IDSelector, Milvus' filter,
BM25's mask), so that k results come where there are k. What an item does not say of itself, its study says; an item that says nothing of a patient,
a day or a licence is left out where one is asked for, and one without a domain is of all of them, as a graph's statements are, with all that they count.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from medrag._util.days import day_of
from medrag._util.near import meant
from medrag.errors import SettingsError
from medrag.latest import patient_of, spelled
from medrag.types import Hit, Item, Query, Where, domain_of

if TYPE_CHECKING:
    from medrag.indexes.items import ItemStore
    from medrag.protocols import Retriever

MORE = 4  # times as many are asked of a source that cannot be told what is allowed
_KNOWN: WeakKeyDictionary[ItemStore, dict[Where, frozenset[str]]] = WeakKeyDictionary()


def where(**wanted: str) -> Where:
    """A filter by the fields of `Where`; ``since`` and ``until`` are days (2020-01-05, or as DICOM writes them), both of them within. Raises SettingsError
    for what is no day or no field, and where nothing is asked for."""
    fields = [one.name for one in dataclasses.fields(Where)]
    if unknown := next((key for key in wanted if key not in fields), ""):
        raise SettingsError(f"there is no filter by {unknown!r}", meant(unknown, fields, f"known: {', '.join(fields)}"))
    domain, license, patient, since, until = (str(wanted.get(key) or "") for key in fields)
    days = [day_of(one) for one in (since, until)]
    for day, given in zip(days, (since, until), strict=True):
        if given and not day:
            raise SettingsError(f"{given!r} is no day", "write it as 2020-01-05")
    if not any((domain, license, patient, since, until)):
        raise SettingsError("nothing is asked for", "give a domain, license, patient, since or until")
    return Where(domain, license, patient, *days)


def narrowed(part: Where | None, wanted: Mapping[str, str]) -> Where:
    """The filter ``wanted`` within a part that is one already. Raises SettingsError, too, for a field that the part has with another value."""
    before = {key: value for key, value in dataclasses.asdict(part).items() if value} if part else {}
    if twice := next((key for key, value in wanted.items() if value and before.get(key, value) != value), ""):
        raise SettingsError(
            f"this part of the index is that of {twice} {before[twice]!r}", "begin with the whole index"
        )
    return where(**(before | {key: value for key, value in wanted.items() if value or key not in before}))


def holds(wanted: Where, item: Item, study: Item | None = None) -> bool:
    """Whether an item, or where it does not say the study that it is of, is what is wanted."""
    both = [one for one in (item, study) if one is not None]
    if wanted.domain and _said(map(domain_of, both)) not in ("", wanted.domain):
        return False
    if wanted.license and _said(str(one.meta.get("license", "")) for one in both).lower() != wanted.license.lower():
        return False
    if wanted.patient and _said(map(patient_of, both)) != spelled(wanted.patient):
        return False
    day = _said(map(_day, both)) if wanted.since or wanted.until else ""
    return not (wanted.since or wanted.until) or bool(day and wanted.since <= day <= (wanted.until or day))


def _said(values: Iterable[str]) -> str:
    return next(filter(None, values), "")


def _day(item: Item) -> str:
    return day_of(getattr(item, "date", "") or item.meta.get("study_date") or item.meta.get("date"))


def allowed(items: ItemStore, wanted: Where) -> frozenset[str]:
    """The ids of the items that are wanted; read once for each filter while the store is open."""
    known = _KNOWN.setdefault(items, {})
    if wanted not in known:
        studies = {one.id: one for one in items.iterate(["study"])}
        known[wanted] = frozenset(one.id for one in items.iterate() if holds(wanted, one, studies.get(one.doc)))
    return known[wanted]


@dataclass
class Within:
    """A retriever that finds what a filter lets through, whatever it is asked."""

    inner: Retriever
    wanted: Where
    items: ItemStore | None
    name: str = ""

    def __post_init__(self) -> None:
        self.name = self.inner.name

    def __getattr__(self, name: str) -> Any:
        """What else the retriever has, such as the graph's store and linker."""
        if name == "inner":  # not there yet, while it is copied
            raise AttributeError(name)
        return getattr(self.inner, name)

    def retrieve(self, query: Query, k: int) -> list[Hit]:
        """At most k hits, as the retriever ranks them."""
        asked, ask = replace(query, where=self.wanted), k
        while True:
            hits = self.inner.retrieve(asked, ask)
            kept = [hit for hit in hits if self._lets(hit.item)]
            if len(kept) >= k or len(hits) < ask:
                return [replace(hit, rank=rank) for rank, hit in enumerate(kept[:k], start=1)]
            ask *= MORE

    def _lets(self, item: Item) -> bool:
        if self.items is None or item.kind in ("concept", "triple"):
            return holds(self.wanted, item)
        return item.id in allowed(self.items, self.wanted)


def within(retrievers: Mapping[str, Retriever], wanted: Where, items: ItemStore | None) -> dict[str, Retriever]:
    """The retrievers of a part; those of a wider part are taken out of it."""
    return {name: Within(getattr(one, "inner", one), wanted, items) for name, one in retrievers.items()}
