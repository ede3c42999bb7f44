"""What the reports of look-alike studies state as present, as concepts that the graph is asked about too.

A finding counts where at least half of the reports of the look-alikes state it. The question's own study is no look-alike, told by its number, its
patient or a picture that is the question's own; nor is what the query excludes, nor a study of another domain.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from medrag.graph.kinds import Kinds
from medrag.latest import patient_of, patients
from medrag.types import Query, Study, domain_of

if TYPE_CHECKING:
    from medrag.graph.link import Linker, Mention
    from medrag.protocols import Retriever
    from medrag.types import Hit

MOST = 10  # look-alike studies whose reports are read
FEWEST = 3  # reports that say anything together
SHARE = 0.5  # of the reports, from which a finding is asked about


class Reported:
    """``similar`` finds studies by pictures; ``same`` is the similarity of a picture to itself."""

    def __init__(self, similar: Retriever, same: float) -> None:
        self.similar, self.same = similar, same

    def __call__(self, query: Query, linker: Linker) -> dict[Mention, float]:
        """The findings that at least `SHARE` of the look-alike reports state as present, with that share; none without an image."""
        reports = self._reports(query) if query.images else []
        if len(reports) < FEWEST:
            return {}
        kind = Kinds(linker.store)
        found: dict[str, list[Mention]] = {}
        for report in reports:
            for node, mention in _stated(linker.link(report.text)).items():
                found.setdefault(node, []).append(mention)
        shares = {said[0]: len(said) / len(reports) for node, said in found.items() if kind(node) == "finding"}
        return {mention: share for mention, share in shares.items() if share >= SHARE}

    def _reports(self, query: Query) -> list[Study]:
        hits: Iterable[Hit] = self.similar.retrieve(query, MOST)
        others = [
            hit.item for hit in hits if hit.score < self.same and not patients(query.images) & {patient_of(hit.item)}
        ]
        domains = ("", query.domain)
        return [one for one in others if isinstance(one, Study) and one.text.strip() and domain_of(one) in domains]


def _stated(mentions: Sequence[Mention]) -> dict[str, Mention]:
    """The likeliest concept of each mention that the text states as present and by name."""
    sure = [one for one in mentions if one.polarity == "present" and not one.head and not one.place]
    return {mention.concepts[0]: mention for mention in reversed(sure)}
