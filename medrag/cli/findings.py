"""``medrag findings``: what the findings reader sees in the views of one chest film."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from medrag.cli.output import Json, emit, table
from medrag.errors import SettingsError

if TYPE_CHECKING:
    from medrag.types import QueryImage


def findings(
    image: Annotated[
        list[str], typer.Argument(metavar="IMAGE...", help="The views of one study (DICOM, PNG, JPEG …).")
    ],
    model: Annotated[str, typer.Option("--model", help="An encoder that ships a reader.")] = "medrag-small",
    everything: Annotated[
        bool, typer.Option("--all", help="Also the MeSH headings, whose probabilities were not measured.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Read the probabilities of 14 findings off a chest radiograph. Says nothing sensible of other pictures."""
    from medrag._util.images import load_image
    from medrag.encoders.findings import FindingsReader

    reader = FindingsReader(model)
    films = [load_image(path, max_side=1536) for path in image]
    _one_study(films)
    pictures = [film.image for film in films]
    found = reader.read(pictures) if everything else reader.findings(pictures)
    ordered = dict(sorted(found.items(), key=lambda pair: -pair[1]))
    if as_json:
        emit({name: round(p, 4) for name, p in ordered.items()})
        return
    table(("finding", "probability"), [(name, f"{p:.2f}") for name, p in ordered.items()])


def _one_study(films: Sequence[QueryImage]) -> None:
    """Raises SettingsError for films whose files name several patients or days: their findings would be averaged."""
    from medrag.latest import days_of, patients

    several = "patients" if len(patients(films)) > 1 else "days" if len(set(days_of(films)) - {""}) > 1 else ""
    if several:
        raise SettingsError(
            f"the films are of several {several}, by their files", "read one study at a time: its views"
        )
