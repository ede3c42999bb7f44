"""Builds the indexes of one configuration: reads its corpora, cuts passages, encodes, indexes, writes the manifest.

    python pipelines/01_build_indexes.py sample                           # a recipe under indexes/
    MEDRAG_DATA=/path/to/pack python pipelines/01_build_indexes.py full  # the real-data pack
    python pipelines/01_build_indexes.py path/to/recipe.yaml              # or a file of your own

Hardware: any CPU; a GPU is used by the encoders where there is one. A build that was stopped goes on where it was, and
one that is complete has nothing to do. Expect a bar for each corpus and index, then the items by kind, every record
that was skipped with its reason, the seconds of each stage, and the largest memory of the process. Where the recipe
states the counts that it expects, a difference is named and the exit status is 1.
"""

from __future__ import annotations

import argparse
import resource
import sys

from medrag.build import build
from medrag.errors import MedragError
from medrag.settings import load_recipe, recipe_file


def main() -> int:
    parser = argparse.ArgumentParser(description="Build the indexes of one configuration.")
    parser.add_argument("config", help="a recipe: the name of a folder under indexes/, or a YAML file")
    parser.add_argument("--fresh", action="store_true", help="start anew")
    arguments = parser.parse_args()
    try:
        recipe = load_recipe(arguments.config)
        report = build(recipe, fresh=arguments.fresh, file=recipe_file(arguments.config))
    except MedragError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for kind, number in report.counts.items():
        print(f"{kind:<12}{number:>10,}")
    for skip in report.skipped:
        print(f"skipped {skip.corpus}: {skip.source}: {skip.problem}")
    for stage, seconds in report.seconds.items():
        print(f"{stage:<24}{seconds:>10.1f} s")
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20)  # kB → GB
    print(f"{sum(report.seconds.values()):.1f} s, {memory:.2f} GB at most, {report.folder}")
    for warning in report.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    return int(any(report.counts.get(kind, 0) != number for kind, number in recipe.expected.items()))


if __name__ == "__main__":
    sys.exit(main())
