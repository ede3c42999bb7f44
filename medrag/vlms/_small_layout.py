"""What the small vision-language model is shown: the same words in training and in use. It knows nothing of weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

WORDS_EACH = 60  # words of a piece of evidence that are shown
LEVELS = ((0.6, "very likely"), (0.35, "likely"), (0.18, "possible"), (0.08, "doubtful"))
MOST = 6  # findings that the reader's line names
REPORT_ASKS = (
    "Write the findings and impression of this chest X-ray.", "Describe the findings and give an impression.",
    "Generate a radiology report for this image.",
)  # fmt: skip


def reader_line(probabilities: Mapping[str, float]) -> str:
    """What the findings reader says, in words: the likeliest findings first; "normal" stands at the end.

    >>> reader_line({"Cardiomegaly": 0.7, "Edema": 0.1, "normal": 0.05})
    'Image reader: cardiomegaly very likely, edema doubtful; normal unlikely.'
    """
    named = sorted(((p, name) for name, p in probabilities.items() if name != "normal"), reverse=True)[:MOST]
    said = [f"{plain(name)} {level}" for p, name in named if (level := level_of(p))]
    normal = f"normal {level_of(probabilities.get('normal', 0.0)) or 'unlikely'}"
    return f"Image reader: {', '.join(said) or 'no finding'}; {normal}."


def plain(name: str) -> str:
    """A label's name as words: "mesh:Fractures, Bone" is "fractures bone"."""
    return name.removeprefix("mesh:").replace("_", " ").replace(",", "").lower()


def level_of(probability: float) -> str:
    """The word for a probability, as the small model was trained to read it; empty below the lowest level."""
    return next((word for least, word in LEVELS if probability >= least), "")


def evidence_line(key: str, text: str) -> str:
    """One piece of evidence on one line, its end cut off where it is long."""
    words = text.split()
    return f"[{key}] {' '.join(words[:WORDS_EACH])}{' …' if len(words) > WORDS_EACH else ''}"


def before(reader: str, evidence: Sequence[str]) -> str:
    """What comes before the question, each part on its own line."""
    return "".join(f"{line}\n" for line in (reader, *evidence) if line)


def question_text(question: str) -> str:
    """A question as it stands in the small model's prompt."""
    return f"Question: {' '.join(question.split())}"
