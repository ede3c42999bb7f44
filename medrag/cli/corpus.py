"""``medrag corpus``: the corpora that ship or are described here, adding one to a recipe, and checking one."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from medrag._util.text import shorten
from medrag.cli.index import show_skipped
from medrag.cli.output import Json, emit, fail, options_of, say, table
from medrag.errors import MedragError, SettingsError

if TYPE_CHECKING:
    from medrag.corpora import CheckReport
    from medrag.settings import CorpusSettings, Recipe

app = typer.Typer(no_args_is_help=True, help="Corpora: list, add to a recipe, check.")
Option = Annotated[
    list[str] | None,
    typer.Option("--option", "-o", metavar="NAME=VALUE", help="An option of the reader; may be repeated."),
]
_TRIED = 20  # items that `add` reads before it believes in a corpus


@app.command("deidentify")
def deidentify(
    source: Annotated[Path, typer.Argument(help="A DICOM file, or a folder of them.")],
    target: Annotated[Path, typer.Argument(help="A new folder for the clean copies.")],
    key_file: Annotated[
        Path | None,
        typer.Option("--key-file", help="A file with a secret: the same patient gets the same pseudonym every time."),
    ] = None,
    pixels: Annotated[bool, typer.Option("--pixels/--no-pixels", help="Paint over text that is burnt in.")] = True,
    as_json: Json = False,
) -> None:
    """Copy DICOM files without their patient: header by PS3.15's basic profile, burnt-in text painted over."""
    from medrag.corpora.deidentify import deidentify as run

    done = run(source, target, key=_secret(key_file) if key_file else "", pixels=pixels)
    if as_json:
        emit({"written": done.written, "painted": done.painted, "skipped": done.skipped, "target": str(target)})
        return
    show_skipped(done.skipped)
    say(
        f"{done.written:,} files in {target}; text was painted over in {len(done.painted):,} of them. Look at what you pass on."
    )


def _secret(path: Path) -> str:
    try:
        secret = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} cannot be read: {error}", "name a text file that holds a secret") from error
    if len(secret) < 16:
        raise SettingsError(f"the secret in {path} has fewer than 16 characters", "a short one can be guessed")
    return secret


@app.command("list")
def list_corpora(as_json: Json = False) -> None:
    """List the corpora that have a card: licence, counts, and whether they are on this machine."""
    rows = cards()
    if as_json:
        emit(rows)
        return
    columns = ("name", "licence", "records", "here", "about")
    table(
        columns,
        [
            (r["name"], shorten(r["licence"], 40), _counts(r["counts"], 2), r["here"], shorten(r["about"], 90))
            for r in rows
        ],
    )


def cards() -> list[dict[str, Any]]:
    """The cards under ``corpora/``."""
    import yaml

    from medrag._util.places import share

    rows = []
    for path in sorted((share() / "corpora").glob("*/card.yaml")):
        try:
            card = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        except yaml.YAMLError as error:
            raise SettingsError(f"{path} is not readable YAML: {error}", "mend the file") from error
        rows.append(card_row(path.parent.name, card))
    return rows


def card_row(name: str, card: dict[str, Any]) -> dict[str, Any]:
    """The part of a card that is listed."""
    return {
        "name": str(card.get("name", name)),
        "licence": _flat(card.get("licence", "")),
        "counts": card.get("counts") or {},
        "here": presence(card),
        "about": " ".join(_flat(card.get("about", "")).split()),
        "access": card.get("access") or [],
    }


def presence(card: dict[str, Any]) -> str:
    """ "present" when every path that the card names can be found, "absent" otherwise."""
    from medrag._util.places import expand

    try:
        found = all(expand(path).exists() for path in card_paths(card))
    except MedragError:
        return "absent"
    return "present" if found else "absent"


def card_paths(value: Any) -> list[str]:
    """Every value of the key ``path`` (or ``paths``) anywhere in a card."""
    if isinstance(value, list):
        return [path for inner in value for path in card_paths(inner)]
    if not isinstance(value, dict):
        return []
    own = [
        str(path)
        for name in ("path", "paths")
        if (known := value.get(name))
        for path in (known if isinstance(known, list) else [known])
    ]
    return own + [path for name, inner in value.items() if name not in ("path", "paths") for path in card_paths(inner)]


def _flat(value: Any) -> str:
    """Text, or the values of a list or mapping, in one line."""
    if isinstance(value, dict):
        return "; ".join(f"{name}: {_flat(inner)}" for name, inner in value.items())
    return ", ".join(map(_flat, value)) if isinstance(value, list) else str(value)


def _counts(counts: dict[str, Any], limit: int | None = None) -> str:
    """Counts in words, the first few of them."""
    words = [
        f"{number:,} {kind}" if isinstance(number, int) else f"{kind}: {_flat(number)}"
        for kind, number in counts.items()
    ]
    return ", ".join(words[:limit])


@app.command("add")
def add(
    name: Annotated[str, typer.Argument(help="A name for the corpus: small letters, digits, - and _.")],
    reader: Annotated[str, typer.Argument(help="Who reads it: pdf, openi, reports-csv, images, dicom, medquad, obo …")],
    path: Annotated[str, typer.Argument(help="The file or folder; may use ~ and ${VAR}.")],
    recipe: Annotated[
        Path | None, typer.Option("--recipe", help="The recipe file to add it to; made when it is not there.")
    ] = None,
    option: Option = None,
    as_json: Json = False,
) -> None:
    """Try to read a corpus, then add it to a recipe (or print what to put into one)."""
    from medrag.cli.recipes import add_to_recipe, fragment
    from medrag.settings import CorpusSettings, parse

    settings = parse(
        CorpusSettings, {"name": name, "reader": reader, "path": path, "options": options_of(option or [])}, name
    )
    report = try_corpus(settings, recipe.parent if recipe else None)
    made = add_to_recipe(recipe, settings, set(report.counts)) if recipe else ""
    if as_json:
        emit(
            {
                **report_dict(report),
                "settings": settings.model_dump(mode="json"),
                "recipe": str(recipe) if recipe else None,
            }
        )
        return
    show_skipped(report_dict(report)["skipped"])
    say(f"# the first {sum(report.counts.values())} items can be read: {_counts(report.counts)}")
    build = f"medrag index build {shlex.quote(str(recipe))}"
    say(f"{made}: {recipe}\nnext: {build}" if recipe else fragment(settings).rstrip())


def try_corpus(settings: CorpusSettings, base: Path | None) -> CheckReport:
    """Reads the first items. Raises CorpusError when not one can be read."""
    from itertools import islice

    from medrag._util import apart
    from medrag.corpora import check, open_corpus

    corpus = open_corpus(settings, base)

    class First:
        """The beginning of the corpus."""

        name = settings.name
        signature = corpus.signature

        def read(self, report: Any) -> Any:
            return islice(apart.items(corpus, report), _TRIED)

    return check(First())


@app.command("check")
def check_corpus(
    source: Annotated[
        str, typer.Argument(metavar="RECIPE_OR_READER", help="A recipe (all its corpora), or the name of a reader.")
    ],
    path: Annotated[str, typer.Argument(help="With a reader: the file or folder.")] = "",
    option: Option = None,
    as_json: Json = False,
) -> None:
    """Read everything, count it, and list each record that cannot be read, with the reason."""
    found = {one.name: checked(one) for one in corpora_of(source, path, option or [])}
    reports = [one for one in found.values() if not isinstance(one, MedragError)]
    failed = {name: one for name, one in found.items() if isinstance(one, MedragError)}
    if len(found) == len(failed) == 1:
        raise next(iter(failed.values()))
    if as_json:
        told = [{"name": name, "error": one.message, "hint": one.hint} for name, one in failed.items()]
        emit([*map(report_dict, reports), *told])
    else:
        table(("corpus", "kind", "count"), [(r.name, kind, f"{n:,}") for r in reports for kind, n in r.counts.items()])
        for report in reports:
            show_skipped(report_dict(report)["skipped"])
        for name, error in failed.items():
            fail(MedragError(f"the corpus {name!r}: {error.message}", error.hint), as_json)
    if failed:
        raise typer.Exit(1)


def corpora_of(source: str, path: str, option: list[str]) -> list[CorpusSettings]:
    """The corpora to check."""
    from medrag.settings import CorpusSettings, load_recipe, parse

    if path:
        raw = {"name": "checked", "reader": source, "path": path, "options": options_of(option)}
        return [parse(CorpusSettings, raw, source)]
    recipe: Recipe = load_recipe(source)
    return list(recipe.corpora)


def checked(settings: CorpusSettings) -> CheckReport | MedragError:
    """Reads one corpus to its end; what keeps it from being read is told, so that the others are checked too."""
    from medrag.corpora import check, open_corpus

    try:
        return check(open_corpus(settings))
    except MedragError as error:
        return error


def report_dict(report: CheckReport) -> dict[str, Any]:
    """A report as plain values."""
    skipped = [{"source": bad.source, "problem": bad.problem, "hint": bad.hint} for bad in report.skipped]
    return {"name": report.name, "counts": report.counts, "first": list(report.first), "skipped": skipped}
