"""Learns how closed questions about pictures are usually answered, by their words alone, and writes presets/usual.json and its card.

    MEDRAG_DATA=/path/to/pack python pipelines/10_learn_usual.py medrag/presets/usual.json

Hardware: a CPU, seconds. TF-IDF over words and pairs of words that three questions have, and logistic regression, over the training questions of IU X-Ray (given ones, and those made of training studies' labels and
reports as `medrag eval run` makes them of held-out ones) and of VQA-RAD without the pictures that are held back. The card has how well it tells yes from no on the validation questions, where nothing of it was learned.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from medrag._util import usual
from medrag._util.files import write_json
from medrag.eval.baselines import training_questions
from medrag.eval.runner import plan
from medrag.eval.tasks import load_task

FEWEST, STRENGTH = 3, 10.0  # questions that have a word; inverse ridge penalty, as of the baseline question-only
CARD = """# usual: how closed questions about pictures are usually answered

Words and pairs of words with their weights: TF-IDF and logistic regression over {questions} training questions, {share:.3f} of them answered yes. It sees no picture and answers nothing; it is a signal of how sure an answer is
(`docs/confidence.md`), which weighs as much as the calibration on your own questions gives it.

Data: IU X-Ray (Open-i, NLM; CC BY-NC-ND 4.0), the train split's questions, labels and reports; VQA-RAD (CC0) without the pictures that are held back. {words} words and pairs; no question is contained.

Recipe: `pipelines/10_learn_usual.py`, deterministic; a CPU, seconds. Of three vocabularies (words and pairs that three questions have, that five have, words alone) the first was taken, with the errors of the surest 70 % of
validation answers in view. Limits: it knows the wording of these two data sets; of other questions it knows little more than "is there".

Area under the ROC curve on validation questions, by the question's words alone:

| questions | n | AUROC |
| --- | --- | --- |
{rows}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    out = parser.parse_args().out
    asked, answers = training_questions(load_task("iu_xray_balanced"))
    write_json(out, learned(asked, [answer == "yes" for answer in answers]))
    usual.PATH = out
    rows = [tested(name) for name in ("iu_xray_vqa", "iu_xray_balanced", "vqa_rad")]
    share, words = (
        float(np.mean([answer == "yes" for answer in answers])),
        len(json.loads(out.read_text("utf-8"))["words"]),
    )
    card = CARD.format(questions=f"{len(asked):,}", share=share, words=f"{words:,}", rows="\n".join(rows))
    out.with_suffix(".md").write_text(card, encoding="utf-8")
    print(card)


def learned(asked: list[str], yes: list[bool]) -> dict[str, Any]:
    """``bias`` and, of each word, its inverse document frequency and its weight."""
    texts = TfidfVectorizer(ngram_range=(1, 2), min_df=FEWEST)
    model = LogisticRegression(C=STRENGTH, max_iter=2000).fit(texts.fit_transform(asked), yes)
    columns = zip(texts.get_feature_names_out(), texts.idf_, model.coef_[0], strict=True)
    words = {str(word): [round(float(rare), 4), round(float(weight), 4)] for word, rare, weight in columns}
    return {"bias": round(float(model.intercept_[0]), 4), "words": words}


def tested(name: str) -> str:
    """A row of the card: how well the words alone order the closed validation questions of a task."""
    examples = [one for one in plan(name).examples if one.reference in ("yes", "no")]
    score = roc_auc_score(
        [one.reference == "yes" for one in examples], [usual.log_odds(one.question) for one in examples]
    )
    return f"| {name} | {len(examples)} | {score:.3f} |"


if __name__ == "__main__":
    main()
