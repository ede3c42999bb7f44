"""Writes the model cards of medrag's own models: the words below, and the tables from what was measured in eval/results/.

    python pipelines/09_write_cards.py

No figure is typed: a card cannot say what no result file says. Takes a second.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
LIMITS = """Intended use: research and education; finding evidence, and a baseline that runs without a hub. Not for diagnosis.
Trained on films of two hospital systems in Indiana with labels drawn from their reports: other machines, children, portable films
and rare findings are not represented. Findings with fewer than ten positive validation studies were not measured well."""
DATA = """IU X-Ray (Open-i, NLM; CC BY-NC-ND 4.0), {iu}; MedNIST (CC BY-SA 4.0), VQA-RAD (CC0), BCCD
blood smears (MIT), mopadi H&E tiles (CC BY), COVID-19 image repository of Hannover (CC BY 3.0), HAM10000 (CC BY-NC 4.0), fundus
photographs of S. Rahim (academic use), OpenStax figures (CC BY 4.0), ultrasound of pydicom-data (MIT). No image or text is contained."""


CLOSED = ("accuracy", "auroc", "f1")
PAIRS = (("adaptive", "none"), ("none", "blank-image-none"), ("adaptive", "blank-image"))


def result(name: str) -> dict[str, Any]:
    return json.loads((ROOT / "eval/results" / f"{name}.json").read_text(encoding="utf-8"))


def row(*cells: Any) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def spread(pair: list[float]) -> str:
    return f"{pair[0]:.3f} – {pair[1]:.3f}"


def encoder_card() -> str:
    found = result("encoder")
    reader, search = found["findings reader"], found["image to report, IU val"]
    lines = [
        "# medrag-small: image-text encoder and findings reader", "",
        "An open_clip model: EfficientNet-lite2 (6.1 M parameters, from ImageNet, two of seven stages frozen) and the sentence "
        "encoder all-MiniLM-L6-v2 as it is (22.6 M, fetched from its own package), each with a linear projection to 384 "
        "dimensions. Beside it a linear reader of 14 chest findings. The domain is named by another head, router-lite2, over ImageNet "
        "features: in this space everyday photographs are not told from medical images well enough.", "",
        f"Data: {DATA.format(iu='train split only, both views')}", "",
        "Licence: Apache-2.0 for these weights; the terms of the data bind whoever they bind.", "",
        "Recipe: `pipelines/06_train_encoder.py` (8 epochs at 192 px, seed 0; 52 minutes on 2 CPU cores without a GPU). "
        "Probabilities are Platt-scaled on the validation split, which nothing else was fitted on.", "",
        "## Findings reader, IU X-Ray val", "", f"`{found['command']}`, {reader['studies']} studies.", "",
        row("finding", "positives", "AUC"), row("---", "---", "---"),
        *(row(name, one["positives"], f"{one['auc']:.3f}") for name, one in reader["by finding"].items()),
        row(f"**macro over {', '.join(reader['over'])}**", "", f"**{reader['macro auc']:.3f}** ({spread(reader['interval'])})"),
        row("chance", "", f"{reader['chance']:.3f}"), "",
        f"Expected calibration error, each half of the studies scaled on the other: {reader['expected calibration error, other half']:.3f}.", "",
        "## First report that a film finds, IU X-Ray val", "",
        f"Micro F1 over the 14 findings, {search['abnormal studies']} abnormal studies, reports of the training split. Same command.", "",
        row("way", "findings F1", "95 % interval", "times a random report"), row("---", "---", "---", "---"),
        *(row(name, f"{one['findings f1']:.3f}", spread(one["interval"]), one["times random"]) for name, one in search.items() if isinstance(one, dict)),
        row("random report", f"{search['random report']:.3f}", "", 1), "",
        LIMITS, "",
    ]  # fmt: skip
    return "\n".join(lines)


def reports_table() -> list[str]:
    """Reports of IU X-Ray val beside the trivial baselines."""
    arms = {arm: result(f"tasks/iu_xray_report-val-{arm}") for arm in ("none", "adaptive")}
    first = arms["none"]
    columns = {
        arm: {k: (v, *one["intervals"][k]) for k, v in one["scores"].items()} for arm, one in arms.items()
    } | first["baselines"]
    wanted = (
        "factuality",
        "findings_micro_f1",
        "hallucinated_per_report",
        "omitted_per_report",
        "rouge_l",
        "bleu_4",
        "claim_support",
    )
    return [
        "## Reports, IU X-Ray val", "",
        f"`medrag eval run {first['task']} --arm none --arm adaptive --limit {first['n']}`: {first['n']} studies; 95 % intervals over studies.", "",
        row("score", *columns), row(*["---"] * (len(columns) + 1)),
        *(row(name, *(f"{c[name][0]:.3f} ({spread(c[name][1:])})" for c in columns.values())) for name in wanted), "",
    ]  # fmt: skip


def vlm_card() -> str:
    about = json.loads((ROOT / "medrag/presets/medrag-small-vlm/medrag_vlm.json").read_text())
    lines = [
        "# medrag-small-vlm: a small vision-language model", "",
        "LLaVA over SmolLM2-135M-Instruct (fetched from its own package): the encoder's feature map as 16 patches, a two-layer projector, and "
        "a low-rank adapter of all linear layers. The findings reader's line stands in the prompt, moves the odds of closed answers, and its "
        "findings are stated in reports: what the words say of the image is mostly its doing. What evidence adds to “yes” whatever it says is taken off: log odds of "
        f"{about['evidence']['report']} for a report and {about['evidence']['passage']} for a passage, measured on balanced questions about training studies (`--evidence`). Where yes or no is asked it is told no book; how often look-alike studies report a finding moves its odds, too (`medrag.retrieve.frequency`). Reports it writes of chest films alone, and on pictures of domains that it was not trained on (ultrasound, retina, skin, tissue, blood) it does not look: the evidence answers. What kind of picture it is comes from file or router. What ships is projector and adapter.", "",
        "Data: IU X-Ray (Open-i, NLM; CC BY-NC-ND 4.0), train split, its reports, and the yes/no questions of the RULE alignment set; VQA-RAD (CC0) "
        "without each fifth picture. Its eyes are the encoder's: see that card. No image or text is contained.", "",
        f"Recipe: `pipelines/08_train_vlm.py`; these weights: {about['training']}.", "",
    ]  # fmt: skip
    return "\n".join([*lines, *reports_table(), *closed_tables(), LIMITS, ""])


def closed_tables() -> list[str]:
    """Closed questions by task: arms beside baselines, then the differences with their paired intervals."""
    lines = [
        "## Closed questions",
        "",
        "“question-only” is TF-IDF and logistic regression over the training questions: it sees no image.",
        "",
    ]
    for task, split in (("iu_xray_balanced", "val"), ("iu_xray_vqa", "val"), ("vqa_rad", "held")):
        arms = {
            arm: result(f"tasks/{task}-{split}-{arm}")
            for arm in ("none", "adaptive", "blank-image-none", "blank-image")
        }
        first = arms["none"]
        columns = {arm: one["scores"] for arm, one in arms.items()} | {
            name: {k: v[0] for k, v in b.items()} for name, b in first["baselines"].items()
        }
        apart = {
            f"{arm} − {name}": arms[arm]["over_baselines"][name]
            for arm in ("none", "adaptive")
            for name in first["baselines"]
        }
        for new, old in PAIRS:
            apart[f"{new} − {old}"] = result(f"tasks/compare/{task}-{new}-{old}")["differences"]
        lines += [
            f"### {task}: {first['n']} questions, {first['groups']} studies or pictures", "",
            f"`medrag eval run {task} --arm none --arm adaptive --arm blank-image-none --arm blank-image --limit {first['groups']}`", "",
            row("arm", *CLOSED), row(*["---"] * 4), *(row(name, *(f"{c[k]:.3f}" for k in CLOSED)) for name, c in columns.items()), "",
            row("difference", *(f"{k}, 95 % interval" for k in CLOSED[:2])), row(*["---"] * 3),
            *(row(name, *(f"{d[k]['difference']:+.3f} ({spread(d[k]['interval'])})" for k in CLOSED[:2])) for name, d in apart.items()), "",
        ]  # fmt: skip
    return lines


REPORTED = ("none", "adaptive", "noise-image")  # what `medrag tune report` reads
TUNED = (
    ("iu_xray_balanced", ("none", "adaptive", "noise-image", "wrong-patient-context", "oracle-context"), ("accuracy", "auroc")),
    ("vqa_rad", ("adaptive",), ("accuracy", "auroc")),
    ("iu_xray_report", ("adaptive",), ("findings_micro_f1", "factuality", "rouge_l", "claim_support")),
)  # fmt: skip


def tuned_card() -> str:
    """What preference tuning changed: the model before and after on the same questions, evidence and seeds."""
    about = json.loads((ROOT / "medrag/presets/medrag-small-pt/medrag_vlm.json").read_text())["training"]
    before, after = result("tuned/untuned")["scores"], result("tuned/report")
    lines = [
        "# medrag-small-pt: medrag-small-vlm after preference tuning", "",
        "The same model with the same parts; its adapter was trained on after on preference pairs (after MMed-RAG, arXiv 2410.13085): the right answer over the one that a misleading "
        "report led to, over the one that needed no picture, over a plausible false one, and a refusal where the picture shows nothing. "
        "Pairs were made of the training studies of IU X-Ray and the training part of VQA-RAD (see the other card for terms); no image or text is contained.", "",
        f"Recipe: `pipelines/03_make_preferences.py preferences --limit 1000`, `pipelines/04_train_preferences.py preferences/pairs.jsonl --most 100 --rate 3e-4 --beta 0.2 --supervised 0.1`; these weights: {about.split('; begun from')[0]}, on one CPU core.", "",
        "## Before and after, closed questions of IU X-Ray val, balanced", "",
        f"`medrag tune report`, {after['n']} questions, both models reading reports alone, without the counts of look-alike studies (`--set alike=0`); differences are paired, 95 % intervals.", "",
        row("score", "before", "after", "difference"), row("---", "---", "---", "---"),
        *(row(name, f"{before[name][0]:.3f} ({spread(before[name][1:])})", f"{one[0]:.3f} ({spread(one[1:])})", f"{after['differences'][name]['difference']:+.3f} ({spread(after['differences'][name]['interval'])})") for name, one in after["scores"].items()), "",
        "over_reliance: of the wrong answers with evidence, the share that was right without (RULE, arXiv 2407.05131). help: of the right ones, the share that was wrong without. copied_of_right: of the right answers with evidence and a picture, those that "
        "noise for a picture gives too.", "",
        "It was tuned on questions, not on reports: those became longer and worse in their words (see rouge_l and claim_support below). Since what evidence adds to “yes” whatever it says is taken off the answers of "
        "the model before, that one is misled in little more; this one still leans less on evidence and refuses pictures that show nothing, at an accuracy that is lower within chance. "
        "Mixed with the weights before tuning (`--untuned`), it keeps the reports and copies more: see eval/results/tuned/mixed.json.", "",
        "## Scores", "", row("task", "arm", "score", "before", "after"), row(*["---"] * 5),
    ]  # fmt: skip
    for task, arms, names in TUNED:
        for arm in arms:
            balanced = task == "iu_xray_balanced"
            reads = balanced and arm in REPORTED
            old = (
                f"tuned/reads/{task}-val-{arm}"
                if reads
                else f"tasks/{task}-val-{arm}"
                if balanced
                else f"tuned/base/{task}-{arm}"
            )
            new = f"tuned/pt/{task}-val-{arm}" if reads else f"tuned/tuned/{task}-{arm}"
            both = result(old), result(new)
            lines += [
                row(task, arm, name, *(f"{one['scores'][name]:.3f} ({spread(one['intervals'][name])})" for one in both))
                for name in names
            ]  # fmt: skip
    older = "The rows of vqa_rad and iu_xray_report (50 reports) were measured in float32, before what evidence adds to “yes” was taken off; the other card has later figures."
    return "\n".join([*lines, "", older, "", LIMITS, ""])


def router_card() -> str:
    found = result("router")
    sets = {
        "held back, same sources": found["held"],
        "other sources": found["elsewhere"],
        "DICOM studies left out": found["left out by group"]["one picture a DICOM study"],
    }
    lines = [
        "# router-lite2: which domain a picture belongs to", "",
        "A softmax over ImageNet features (EfficientNet-lite2, fetched from its own package) with nine classes, and mean vectors of medical "
        "sources: a picture far from all of them, or of the class other, is taken for not medical.", "",
        f"Data: {DATA.format(iu='a part of the train split')} Further: CT, MR and radiographs of pydicom-data (one of CQ500, CC BY-NC-SA 4.0), two photographs of "
        "scikit-learn (CC BY), simulated ultrasound and made textures.", "",
        "Recipe: `pipelines/07_train_router.py`; these weights are its fit on embeddings made in several runs of it while it was still changing, so a fresh run gives similar weights, not these. Limits: few studies of ultrasound, MR mostly of breast and head, "
        f"immunohistochemistry is not known. Also: {found['weaker']}.", "",
        f"`{found['command']}`; share named rightly with Wilson's 95 % interval.", "",
        row("pictures", "n", "right", "95 % interval"), row("---", "---", "---", "---"),
        *(row(name, one["all"]["n"], f"{one['all']['share']:.3f}", spread(one["all"]["interval"])) for name, one in sets.items()),
        row("ordinary photographs taken for not medical", *(found["photographs"]["flagged"][k] for k in ("n", "share")), spread(found["photographs"]["flagged"]["interval"])), "",
        f"Expected calibration error {found['expected calibration error']:.3f}.", "",
    ]  # fmt: skip
    return "\n".join(lines)


def main(folder: Path = ROOT / "medrag/presets") -> None:
    if "elsewhere" in result("router"):
        (folder / "router-lite2.md").write_text(router_card(), encoding="utf-8")
    cards = {"medrag-small": encoder_card(), "medrag-small-vlm": vlm_card(), "medrag-small-pt": tuned_card()}
    for name, text in cards.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / name / "README.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    main()
