"""Finds `ontology/` and `queries/`: inside an installed wheel, or beside the package in a checkout.

The two folders stand at the top of the repository and ship inside the wheel (as
`provgraph/_resources/`); an editable install and a checkout read them where they are.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from provgraph.errors import NotFoundError

FOLDERS: Final = ("ontology", "queries")


def folder(name: str) -> Path:
    """Return the folder `ontology` or `queries`.

    Raises:
        NotFoundError: neither place has it; the installation is broken.
    """
    if name not in FOLDERS:
        raise NotFoundError(f"expected one of {', '.join(FOLDERS)}, found {name!r}")
    package = Path(__file__).resolve().parent
    for candidate in (package / "_resources" / name, package.parent / name):
        if candidate.is_dir():
            return candidate
    raise NotFoundError(
        f"the folder {name}/ is neither in the installed package {package} nor beside it;"
        " reinstall provgraph"
    )


def read_text(folder_name: str, *parts: str) -> str:
    """Read a UTF-8 file below one of the folders.

    Raises:
        NotFoundError: there is no such file.
    """
    path = folder(folder_name).joinpath(*parts)
    try:
        return path.read_text("utf-8")
    except FileNotFoundError:
        raise NotFoundError(f"no such resource: {folder_name}/{'/'.join(parts)}") from None
