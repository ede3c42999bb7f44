"""Radiology reports to studies: Open-i XML, CSV tables and JSON lines. FHIR is in fhir.py.

Names that were removed (``XXXX`` in Open-i) stay as they are and are never made up. Nothing is inferred from a
report's words here.
"""

from __future__ import annotations

from medrag.corpora._csv_reports import CsvReports
from medrag.corpora._jsonl_reports import JsonlReports
from medrag.corpora._openi import OpenIReports

__all__ = ["CsvReports", "JsonlReports", "OpenIReports"]
