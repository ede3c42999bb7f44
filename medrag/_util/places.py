"""Where things lie: the recipes and corpora that ship, what was fetched, what was built, and path spelling.

``MEDRAG_HOME`` holds what is fetched and built outside a checkout. Its default inside a virtual environment is
``share/medrag`` of that environment, so that removing the environment removes everything; elsewhere it is the
user's data folder.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from medrag._util.files import sha256_text
from medrag.errors import SettingsError

_PACKAGE = Path(__file__).resolve().parent.parent


def home() -> Path:
    """The folder for everything that medrag fetches or builds."""
    if chosen := os.environ.get("MEDRAG_HOME"):
        return Path(chosen).expanduser().absolute()
    if sys.prefix != sys.base_prefix:
        return Path(sys.prefix) / "share" / "medrag"
    import platformdirs

    return Path(platformdirs.user_data_dir("medrag"))


def checkout() -> Path | None:
    """The root of the source checkout that this package runs from, or None when it was installed from a wheel."""
    root = _PACKAGE.parent
    return root if (root / "pyproject.toml").is_file() and (root / "corpora").is_dir() else None


def share() -> Path:
    """The folder with ``corpora/``, ``indexes/`` and ``pipelines/``: the checkout, or the copy inside the wheel."""
    return checkout() or _PACKAGE / "_share"


def built(recipe: str) -> Path:
    """The folder where the index of a recipe is built."""
    root = _in_checkout()
    return root / recipe / "built" if root else home() / "indexes" / recipe


def every_built() -> list[str]:
    """The names of the indexes that are built on this machine."""
    if root := _in_checkout():
        return sorted(path.parents[1].name for path in root.glob("*/built/manifest.json"))
    return sorted(path.parent.name for path in (home() / "indexes").glob("*/manifest.json"))


def beside(recipe: str, name: str) -> Path:
    """A file that belongs to the index of a recipe and outlives its builds."""
    return built(recipe).with_name(name if _in_checkout() else f"{recipe}.{name}")


def in_part(folder: Path) -> Path:
    """The folder for what is made of a part of the index in ``folder``, for those who may see no more of it; of no use once the index changes."""
    return home() / "seen" / sha256_text(str(folder.resolve()))[:24]


def _in_checkout() -> Path | None:
    """The folder of a checkout in which indexes are built; None where they are built in `home`."""
    root = checkout()
    return root / "indexes" if root and not os.environ.get("MEDRAG_HOME") else None


def expand(path: str, base: Path | None = None) -> Path:
    """A path as people write it in a recipe: ``~``, ``${VAR}``, ``share:corpora/…`` and ``package:NAME/file``; absolute.

    One that is relative starts from ``base``, or from the working directory where there is none or a variable begins it.
    Raises SettingsError for a variable that is not set and ModelMissing for a package that was not fetched.
    """
    if path.startswith("package:"):
        from medrag._util.fetch import package_file

        return package_file(path.removeprefix("package:"))
    if path.startswith("share:"):
        return share() / path.removeprefix("share:")
    if path.startswith("${"):
        base = None
    for name in re.findall(r"\$\{(\w+)\}", path):
        if name not in os.environ:
            raise SettingsError(
                f"{path}: the environment variable {name} is not set", f"export {name}=/path/to/the/folder"
            )
        path = path.replace(f"${{{name}}}", os.environ[name])
    return (base or Path()).absolute() / Path(path).expanduser()


def placed(path: str, base: Path) -> str:
    """The spelling of a path that means the same from any working directory: one that is relative starts from ``base``."""
    special = path.startswith(("package:", "share:", "${", "~"))
    return path if special or Path(path).is_absolute() else str(base.resolve() / path)
