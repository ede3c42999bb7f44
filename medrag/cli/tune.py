"""``medrag tune``: preference pairs, tuning on them, and what both came to."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from medrag.cli.output import Json, emit, note, options_of, table

app = typer.Typer(no_args_is_help=True, help="Teach a model when to trust what was retrieved.")


@app.command("pairs")
def pairs(
    out: Annotated[Path, typer.Argument(help="Folder for answers, pairs and pictures.")],
    questions: Annotated[
        Path | None,
        typer.Option("--questions", help="Your own questions, as `medrag eval run` takes them (default: the pack's)."),
    ] = None,
    split: Annotated[
        str, typer.Option("--split", help="Rows of your own whose column split says so; all: every row.")
    ] = "",
    data: Annotated[
        Path | None, typer.Option("--data", help="Folder with the pack's layout (default: MEDRAG_DATA).")
    ] = None,
    sets: Annotated[
        list[str] | None, typer.Option("--set", help="A set of the pack's questions. Repeat for several.")
    ] = None,
    recipe: Annotated[str, typer.Option("--recipe", help="The index that is asked.")] = "iu",
    model: Annotated[str, typer.Option("--model", help="Generator.")] = "medrag-small",
    kind: Annotated[
        list[str] | None, typer.Option("--kind", help="A kind of pair. Repeat for several (default: all).")
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", min=0, help="At most so many questions, drawn with the seed (0: all).")
    ] = 1000,
    most: Annotated[int, typer.Option("--most", min=0, help="At most so many pairs of each kind (0: all).")] = 0,
    written: Annotated[
        bool, typer.Option("--written", help="Answer closed questions in words, not by P(yes).")
    ] = False,
    reader: Annotated[
        str,
        typer.Option("--reader", help="Findings reader whose maps show lesions, or similarity:ENCODER; empty: none."),
    ] = "medrag-small",
    asked_again: Annotated[
        int,
        typer.Option(
            "--again", min=0, help="Questions asked again with their own report, and with another's evidence."
        ),
    ] = 0,
    nothing: Annotated[
        str, typer.Option("--unseen", help="Picture that shows nothing: noise, or least-similar (another question's).")
    ] = "noise",
    judge: Annotated[
        str,
        typer.Option(
            "--judge",
            help="Generator that says whether an answer is right, such as openai:NAME (default: the clinical scorer).",
        ),
    ] = "",
    low: Annotated[float, typer.Option("--low", help="Least weight of a pair, above 0, at most 1.")] = 0.5,
    high: Annotated[float, typer.Option("--high", help="Greatest weight of a pair, from 1 on.")] = 1.5,
    seed: Annotated[int, typer.Option("--seed", min=0)] = 0,
    as_json: Json = False,
) -> None:
    """Ask a training set with and without evidence, and write what should be preferred. A run that was cut off goes on."""
    from medrag import MedRAG
    from medrag.tune.answers import again, answer_all
    from medrag.tune.asked import own_questions, training_questions
    from medrag.tune.judge import judge_of, unread_by
    from medrag.tune.pairs import FILE, KINDS, check_kinds, make_pairs, write_pairs
    from medrag.tune.relevance import weights
    from medrag.tune.shown import pictures_of, unseen_of

    kinds, pack = kind or KINDS, None
    check_kinds(kinds)
    weights((), low, high)
    right = judge_of(judge, out)
    if questions:
        asked, left_out = own_questions(questions, split, limit, seed)
        if left_out:
            note(f"{left_out} more questions are left out, drawn with the seed: --limit 0 asks all")
    else:
        pack = data or _data()
        asked = training_questions(pack, sets or ["iu_vqa", "iu_balanced", "vqa_rad"], limit, seed)
    unseen = unseen_of(nothing, asked, seed)
    hidden, lesions = pictures_of(kinds, out / "images", unseen, reader, seed)
    rag = MedRAG.open(recipe, model=model)
    told = answer_all(rag, asked, out, unseen, right=right, short=not written)
    if asked_again:
        more = again(told, pack, asked_again, seed, right)
        note(f"asked again with evidence that is put there: {len(more)}")
        told += answer_all(rag, more, out, unseen, right=right, short=not written)
    found = make_pairs(told, kinds, unseen=hidden, lesion=lesions, right=right, low=low, high=high, most=most)
    counted = write_pairs(found, out / FILE)
    if unread := unread_by(right):
        note(unread)
    if as_json:
        emit({"questions": len(told), "pairs": counted})
        return
    table(("kind", "count"), list(counted.items()))
    note(f"written: {out / FILE}")


def _data() -> Path:
    import os

    from medrag.errors import CorpusError

    if not (named := os.environ.get("MEDRAG_DATA")):
        raise CorpusError("MEDRAG_DATA is not set", "set it to the folder of the data pack, or name --questions")
    return Path(named)


@app.command("train")
def train(
    pairs_file: Annotated[
        Path,
        typer.Argument(
            metavar="PAIRS",
            help="pairs.jsonl, as `medrag tune pairs` writes it; for method=grpo answers.jsonl beside it.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder for the tuned model.")],
    model: Annotated[str, typer.Option("--model", help="Where tuning begins.")] = "medrag-small",
    work: Annotated[
        Path | None, typer.Option("--work", help="Folder for references and checkpoints (default: beside OUT).")
    ] = None,
    kind: Annotated[
        list[str] | None, typer.Option("--kind", help="A kind of pair. Repeat for several (default: all).")
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="NAME=VALUE of the training: method (weighted, dpo, sft, grpo), beta, epochs, steps, rate …"
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Tune a model on pairs, or by rewards (method=grpo). A run that was cut off goes on."""
    from medrag.tune.pairs import counts
    from medrag.tune.peers import is_first
    from medrag.tune.run import tune
    from medrag.tune.trainer import settings_of

    options = options_of(option or [])
    if options.get("method") == "grpo":
        about, result = {}, _reinforced(pairs_file, out, options, model, kind, work)
    else:
        found, result = tune(pairs_file, out, settings_of(options), model=model, kinds=kind or (), work=work)
        about = {"pairs": counts(found)}
    if not is_first():
        return
    if as_json:
        emit({**about, **result})
        return
    if result.get("left_out"):
        note(f"{result['left_out']} pairs without a picture are left out: {model} needs one")
    table(("measure", "last quarter"), [(name, f"{value:g}") for name, value in result.items()])
    note(f"written: {out}; MedRAG.open(…, model={str(out)!r}) answers with it")


def _reinforced(
    file: Path, out: Path, options: dict[str, Any], model: str, kind: list[str] | None, work: Path | None
) -> dict[str, float]:
    from medrag.errors import SettingsError
    from medrag.tune.grpo import GrpoTraining
    from medrag.tune.run import reinforce
    from medrag.tune.trainer import settings_of

    if kind:
        raise SettingsError("GRPO is trained on questions, which are of no kind of pair", "leave out --kind")
    return reinforce(file, out, settings_of(options, GrpoTraining), model=model, work=work)


@app.command("report")
def report(
    without: Annotated[
        Path, typer.Option("--without", help="Answers (.jsonl) without retrieval, of `medrag eval run`.")
    ],
    using: Annotated[Path, typer.Option("--with", help="Answers of the same questions with retrieval.")],
    unseen: Annotated[Path | None, typer.Option("--unseen", help="With retrieval, but noise for a picture.")] = None,
    before: Annotated[
        tuple[Path, Path, Path] | None,
        typer.Option("--before", help="The same three of the untuned model: its differences are shown, paired."),
    ] = None,
    draws: Annotated[int, typer.Option("--draws", min=100)] = 1000,
    as_json: Json = False,
) -> None:
    """How much a model copies what was retrieved, and how often that misleads it, with intervals."""
    from medrag.errors import SettingsError
    from medrag.eval import statistics
    from medrag.eval.scoring import spread
    from medrag.score.reliance import ReferenceUse

    measure: Any = ReferenceUse()
    told = _paired(without, using, unseen)
    rows = measure.rows(told.answers, told.references)
    scores = statistics.interval(measure, rows, told.groups, draws=draws)
    result: dict[str, Any] = {"n": len(rows), "scores": {name: _rounded(value) for name, value in scores.items()}}
    if before:
        old = _paired(*before)
        place = {name: n for n, name in enumerate(old.ids)}
        if place.keys() != set(told.ids) or _asked_otherwise(using, before[1]):
            raise SettingsError("the two models answered other questions", "name results of one task, split and limit")
        old_rows = measure.rows(old.answers, old.references)[[place[name] for name in told.ids]]
        gained = statistics.difference(measure, rows, old_rows, told.groups, draws=draws)
        result["differences"] = {n: {k: _rounded(v) for k, v in d.items()} for n, d in gained.items()}
    if as_json:
        emit(result)
        return
    lines = []
    for name, (score, *interval) in result["scores"].items():
        gain = result.get("differences", {}).get(name, {"difference": None})
        change = "" if gain["difference"] is None else f"{gain['difference']:+.3f} ({spread(gain['interval'], '+.3f')})"
        lines.append((name, "–" if score is None else f"{score:.3f}", spread(interval), change))
    table(("score", "value", "95 %", "over the untuned"), lines)


def _paired(without: Path, using: Path, unseen: Path | None) -> Any:
    from medrag.errors import SettingsError
    from medrag.score.reliance import paired

    try:
        read = [_answers(path) if path else [] for path in (without, using, unseen)]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SettingsError(
            f"answers cannot be read: {error}", "name the .jsonl beside a result of medrag eval run"
        ) from error
    return paired(*read)


def _asked_otherwise(one: Path, other: Path) -> bool:
    """Whether two files of answers differ in a question, its right answer or its pictures under one id."""
    from medrag.score.reliance import unlike

    known = {line["id"]: line for line in _answers(other)}
    return any(unlike(line, known[line["id"]]) for line in _answers(one) if line["id"] in known)


def _answers(path: Path) -> list[dict[str, Any]]:
    """What the result beside the answers counts; without one, the last line of each example."""
    from medrag.eval.compare import load
    from medrag.eval.lines import latest, read_lines

    beside = path.with_suffix(".json")
    return load(beside)[1] if beside.is_file() else list(latest(read_lines(path)).values())


def _rounded(value: Any) -> Any:
    """Numbers to five places; what nothing defines is None."""
    import math

    if isinstance(value, tuple | list):
        return [_rounded(one) for one in value]
    return None if math.isnan(value) else round(float(value), 5)
