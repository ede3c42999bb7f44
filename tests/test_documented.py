"""Every public module, class and function says what it is."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import medrag

ROOT = Path(medrag.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))


def undocumented(path: Path) -> Iterator[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    if not ast.get_docstring(tree):
        yield "the module"
    for node in tree.body:
        named = isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        if named and not node.name.startswith("_") and not ast.get_docstring(node):
            yield node.name


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_is_public_is_documented(path: Path) -> None:
    assert list(undocumented(path)) == []
