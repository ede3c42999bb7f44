"""The day that a file or a report names, in one form. It knows no time of day: what was taken on one day is of one day."""

from __future__ import annotations

import contextlib
import datetime
import re

_DAY = re.compile(r"\s*(\d{4})([-./:]?)(\d{2})\2(\d{2})(?!\d(?!\d{3,5}(?!\d)))")  # 14 digits are a day with its time
NONE = ("0001", "0000", "9999")  # years that stand for a date that was taken out


def day_of(date: object) -> str:
    """2020-01-05 of that day as DICOM or ISO 8601 writes it, with its time or without; empty where no day is named.

    >>> day_of("20200105"), day_of("2020-01-05T10:15:00Z"), day_of("00010101"), day_of("2020")
    ('2020-01-05', '2020-01-05', '', '')
    """
    found = _DAY.match(str(date or ""))
    if not found or found[1] in NONE:
        return ""
    with contextlib.suppress(ValueError):  # the 30th of February
        return f"{datetime.date(int(found[1]), int(found[3]), int(found[4]))}"
    return ""
