"""Side, zone and severity, for the scores: see `medrag._util.attributes`, which the graph reads by too."""

from medrag._util.attributes import location_of, severity_of, side_of

__all__ = ["location_of", "severity_of", "side_of"]
