"""The base install stays small, and nothing that it or the demonstration pulls in is under GPL."""

import re
import zipfile
from email.message import Message
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

BASE = {
    "cffi",
    "cryptography",
    "lark",
    "markdown-it-py",
    "mdurl",
    "packaging",
    "provgraph",
    "pycparser",
    "pygments",
    "pyoxigraph",
    "rich",
}
MAX_BASE_BYTES = 100_000_000

GPL = re.compile(r"\bA?GPL|\bGNU (Affero )?General Public", re.IGNORECASE)


def closure(name: str, *extras: str) -> dict[str, Distribution]:
    """Follow the requirements of a distribution, with those extras, as this machine has them."""
    found: dict[str, Distribution] = {}
    waiting = [(name, frozenset(extras))]
    seen = set()
    while waiting:
        item = waiting.pop()
        if item in seen:
            continue
        seen.add(item)
        here = found.setdefault(canonicalize_name(item[0]), distribution(item[0]))
        for line in here.requires or ():
            needed = Requirement(line)
            contexts = [{"extra": extra} for extra in item[1] or [""]]
            if needed.marker is None or any(map(needed.marker.evaluate, contexts)):
                waiting.append((needed.name, frozenset(needed.extras)))
    return found


def installed_bytes(parts: dict[str, Distribution]) -> int:
    """Sum the sizes of the installed files; byte code depends on who ran what, and is left out."""
    return sum(
        Path(str(file.locate())).stat().st_size
        for part in parts.values()
        for file in part.files or ()
        if file.suffix != ".pyc"
    )


def licence(metadata: Message) -> str:
    """Return the licence that a distribution states: expression, else classifiers, else text.

    The text is read to the end of its first line: what follows it may be the licences of other
    things, such as the GPL with an exception of a compiler's run-time library.
    """
    if metadata["License-Expression"]:
        return str(metadata["License-Expression"])
    classifiers = metadata.get_all("Classifier") or []
    stated = [line.rpartition(" :: ")[2] for line in classifiers if line.startswith("License :: ")]
    if stated:
        return "; ".join(stated)
    return str(metadata["License"] or "").strip().partition("\n")[0]


def forbidden(stated: str) -> str | None:
    """Return why a licence may not come in, None where it may."""
    if not stated:
        return "states no licence"
    # Of a choice of licences another one can be taken. The LGPL leaves its users free.
    choices = [part for part in re.split(r"\bOR\b", stated) if not GPL.search(part)]
    return None if choices else f"is under {stated}"


def test_base_install_is_small(wheel: Path) -> None:
    parts = closure("provgraph")
    assert set(parts) == BASE
    # Here provgraph itself is an editable install, whose files lie elsewhere: the wheel has them.
    del parts["provgraph"]
    with zipfile.ZipFile(wheel) as archive:
        own_bytes = sum(item.file_size for item in archive.infolist())
    assert own_bytes > 500_000
    assert own_bytes + installed_bytes(parts) < MAX_BASE_BYTES


def test_nothing_is_under_gpl() -> None:
    parts = closure("provgraph", "demo")
    assert {"pandas", "scikit-learn", *BASE} <= set(parts)
    refused = {name: forbidden(licence(part.metadata)) for name, part in parts.items()}
    assert {name: why for name, why in refused.items() if why} == {}


@pytest.mark.parametrize(
    ("field", "value", "why"),
    [
        ("License-Expression", "GPL-3.0-or-later", "is under GPL-3.0-or-later"),
        ("License-Expression", "AGPL-3.0-only", "is under AGPL-3.0-only"),
        ("License-Expression", "MIT OR GPL-2.0-only", None),
        ("License-Expression", "BSD-3-Clause AND MIT", None),
        (
            "Classifier",
            "License :: OSI Approved :: GNU General Public License v3 (GPLv3)",
            "is under GNU General Public License v3 (GPLv3)",
        ),
        ("Classifier", "License :: OSI Approved :: MIT License", None),
        ("License", "GPLv2", "is under GPLv2"),
        ("License", "BSD\n\nThis ships libgfortran, under the GPL with an exception", None),
        ("Summary", "a package that says nothing", "states no licence"),
    ],
)
def test_a_gpl_licence_would_be_seen(field: str, value: str, why: str | None) -> None:
    metadata = Message()
    metadata[field] = value
    assert forbidden(licence(metadata)) == why
