"""Numbers as two sentences say them: units, bounds, ranges, how often a day."""

from __future__ import annotations

import doctest

import pytest

from medrag.score import numbers
from medrag.score.numbers import uncounted


def test_the_examples_in_the_docstrings() -> None:
    assert doctest.testmod(numbers).failed == 0


@pytest.mark.parametrize(
    ("claim", "told", "missing"),
    [
        # units
        ("0.5 mg", "500 micrograms", set()),
        ("2,5 cm", "2.5 cm", set()),  # a decimal comma
        ("2,5 cm", "2 cm", {"2,5 cm"}),
        ("0,125 mg", "0.125 mg", set()),
        ("2·5 cm", "2.5 cm", set()),
        ("150\u00a0000", "150,000", set()),
        ("38 °C", "38 degrees Celsius", set()),
        ("two weeks", "14 days", set()),
        ("12 months", "one year", set()),
        ("a month", "30 days", set()),
        ("1 month", "30 days", {"1 month"}),
        ("twenty percent", "20 %", set()),
        ("twenty-five days", "25 days", set()),
        ("fifteen", "fifty", {"fifteen"}),
        ("2-fold", "twofold", set()),
        # negative numbers, and hyphens that are none
        ("of -2.5", "of 2.5", {"-2.5"}),
        ("of -2.5", "of −2.5", set()),
        ("Findings: -5 mm", "5 mm", set()),
        ("Ki-67 is high", "Ki-67 is high", set()),
        # bounds
        ("CD4 < 200", "CD4 > 200", {"< 200"}),
        ("CD4 < 200", "CD4 below 200", set()),
        ("CD4 < 200", "CD4 of 200", {"< 200"}),
        ("200", "more than 200", {"200"}),
        ("at least 6 months", "no less than 6 months", set()),
        ("at least 6 months", "at most 6 months", {"at least 6 months"}),
        ("65 years or older", "≥ 65 years", set()),
        ("must not exceed 4 g", "at most 4 g", set()),
        # ranges
        ("2 cm", "2-3 cm", {"2 cm"}),
        ("2-3 cm", "2 to 3 cm", set()),
        ("between 2 and 3 cm", "2–3 cm", set()),
        ("2 and 3 cm", "2-3 cm", {"2", "3 cm"}),
        ("rose to 10 %", "rose from 5 to 10 %", set()),
        ("from 30 % to 10 %", "from 10 % to 30 %", {"30 %", "10 %"}),
        ("Gleason 3+4", "Gleason 4+3", {"3", "4"}),
        # how often
        ("twice daily", "bid", set()),
        ("twice a day", "two times per day", set()),
        ("twice a day", "twice a week", {"twice a day"}),
        ("once daily", "twice daily", {"once daily"}),
        ("once infected", "infected", set()),
        ("5 mg/kg/day", "5 mg/kg per day", set()),
        ("5 mg/kg daily", "5 mg/kg", {"5 mg/kg daily"}),
        ("75 mg a day", "75 mg daily", set()),
    ],
)
def test_what_is_told_of_the_numbers_of_a_claim(claim: str, told: str, missing: set[str]) -> None:
    assert uncounted(claim, told) == missing


def test_long_rows_of_digits_take_no_time() -> None:
    assert uncounted("9" * 100_000 + "q", "5") == set()
