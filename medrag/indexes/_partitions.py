"""Where a vector lies in Milvus, a partition for each corpus and domain; and what a filter has to look into: whole partitions, as far as it can.

A filter comes as the ids that are allowed. Of a partition that it allows wholly no list of ids is sent, which grows with the corpus and is read by
Milvus in every search; so a filter by domain is answered by partitions alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping, Set

from medrag._util.files import sha256_text

Look = tuple[list[str], str]  # partitions, and an expression of Milvus ("": all that is in them)


def partition_of(item: str, domain: str = "") -> str:
    """The partition of an id of that domain (none: of all or no known one): its corpus, spelled with what Milvus allows in a name."""
    corpus = _spelled(item.partition(":")[0] if ":" in item else "", 198)
    return f"p_{corpus}D{_spelled(domain, 50)}" if domain else f"p_{corpus}"


def grouped(ids: Iterable[str], domains: Mapping[str, str]) -> dict[str, list[str]]:
    """The ids by their partitions."""
    found: dict[str, list[str]] = {}
    for item in ids:
        found.setdefault(partition_of(item, domains.get(item, "")), []).append(item)
    return found


def _spelled(name: str, most: int) -> str:
    """Of fewer than ``most`` small letters, digits and _, so that no two names are spelled alike and no D stands in one."""
    spelled = re.sub(r"[^a-z0-9]", lambda found: f"_{ord(found[0]):x}_", name)
    return spelled if len(spelled) < most else sha256_text(name)[: most - 1]


def corpus_in(partition: str) -> str:
    """The part of a partition's name that those of one corpus share."""
    return partition.partition("D")[0]


def looks(members: Mapping[str, Set[str]], allowed: Set[str] | None, hidden: Set[str]) -> list[Look]:
    """What to look into for the allowed ids (None: all) that are not hidden: the partitions (with their ids) of which all is wanted, and those of which
    some is, by the shorter list."""
    whole, mixed, inside, rest = [], [], set[str](), set[str]()
    for name, ids in sorted(members.items()):
        wanted = (ids if allowed is None else ids & allowed) - hidden
        if len(wanted) == len(ids):
            whole.append(name)
        elif wanted:
            mixed.append(name)
            inside |= wanted
            rest |= ids - wanted
    some = named(inside) if len(inside) <= len(rest) else f"not ({named(rest)})"
    return [*([(whole, "")] if whole else []), *([(mixed, some)] if mixed else [])]


def named(ids: Collection[str]) -> str:
    """An expression that is true for these ids."""
    return f"id in {json.dumps(sorted(ids), ensure_ascii=False)}"
