"""Installed distributions with their versions, and where each one came from.

Reads the folders that importlib.metadata would read (core metadata, PyPA "Recording installed
projects" and PEP 610 `direct_url.json`), but only the two header lines that matter: it costs a
tenth of the email parser. The first distribution of a name on the search path counts, as it does
for `import`.

Origins: `index` (nothing says otherwise), `editable`, `vcs`, and `file` (an archive or folder that
was installed from a path or URL). `patched` is found by `provgraph.capture.patched`.

Does not read packages inside zip files, nor conda packages that are not Python distributions.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from typing import Final

from provgraph.capture.remote_url import without_credentials
from provgraph.frozen import dataclass, replace
from provgraph.records import Package

_HEADER_BYTES: Final = 4096  # Name and Version stand in the first lines of METADATA

_NAME = re.compile(rb"^Name:[ \t]*(\S+)", re.MULTILINE)
_VERSION = re.compile(rb"^Version:[ \t]*(\S+)", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """One installed distribution: what a record says of it, and where its files are listed."""

    package: Package
    site: str  # the search path entry that it was found in
    metadata: str  # its .dist-info folder, .egg-info folder or file


def normal_name(name: str) -> str:
    """Return the name that PEP 503 compares by.

    >>> normal_name("Scikit_Learn")
    'scikit-learn'
    """
    return re.sub(r"[-_.]+", "-", name).lower()


def installed(search_path: Iterable[str]) -> tuple[Distribution, ...]:
    """Return all distributions on the search path, sorted by name; the first of a name counts."""
    found: dict[str, Distribution] = {}
    for entry in search_path:
        site = os.path.abspath(entry)
        for distribution in _in_folder(site):
            found.setdefault(normal_name(distribution.package.name), distribution)
    return tuple(found[name] for name in sorted(found))


# ---- finding distributions -----------------------------------------------------------------------
def _in_folder(site: str) -> Iterator[Distribution]:
    try:
        names = sorted(os.listdir(site))
    except OSError:
        return  # zip files and folders that do not exist are common on sys.path
    for name in names:
        # pip renames what it replaces to ~name; a crash leaves that behind, uninstalled.
        if name.startswith("~"):
            continue
        if name.endswith(".dist-info"):
            package = _from_dist_info(os.path.join(site, name))
        elif name.endswith((".egg-info", ".egg-link")):
            package = _from_egg(site, name)
        else:
            continue
        if package is not None:
            yield Distribution(package=package, site=site, metadata=os.path.join(site, name))


def _from_dist_info(folder: str) -> Package | None:
    header = _read(os.path.join(folder, "METADATA"), limit=_HEADER_BYTES)
    package = None if header is None else _parse_header(header)
    if package is None:
        return None
    direct = _read(os.path.join(folder, "direct_url.json"))
    if direct is None:
        return package
    origin, url = _direct_origin(direct)
    return replace(package, origin=origin, origin_url=url)


def _from_egg(site: str, name: str) -> Package | None:
    """Read the older layouts: a folder or file of metadata, or a link to a source tree."""
    if name.endswith(".egg-link"):
        lines = (_read(os.path.join(site, name)) or b"").decode("utf-8", "replace").splitlines()
        source = lines[0].strip() if lines else ""
        stem = name.removesuffix(".egg-link").replace("-", "_")
        package = _egg_header(os.path.join(source, f"{stem}.egg-info"))
        return package and replace(package, origin="editable", origin_url=source)
    package = _egg_header(os.path.join(site, name))
    if package is not None and os.path.basename(site) not in {"site-packages", "dist-packages"}:
        # Metadata of a build that lies in a source tree: what is imported is the tree itself.
        return replace(package, origin="editable", origin_url=site)
    return package


def _egg_header(path: str) -> Package | None:
    header = _read(os.path.join(path, "PKG-INFO"), limit=_HEADER_BYTES)
    if header is None:
        header = _read(path, limit=_HEADER_BYTES)
    return None if header is None else _parse_header(header)


def _parse_header(header: bytes) -> Package | None:
    name, version = _NAME.search(header), _VERSION.search(header)
    if name is None or version is None:
        return None
    return Package(
        name=name[1].decode("utf-8", "replace"), version=version[1].decode("utf-8", "replace")
    )


def _direct_origin(direct: bytes) -> tuple[str, str | None]:
    """Read PEP 610: (origin, URL without credentials); `file` where it says nothing readable."""
    import json

    try:
        data = json.loads(direct)
        url = without_credentials(data["url"])
        if (vcs := data.get("vcs_info")) is not None:
            return "vcs", f"{vcs['vcs']}+{url}@{vcs['commit_id']}"
        is_editable = data.get("dir_info", {}).get("editable") is True
    except (ValueError, KeyError, TypeError, AttributeError):
        return "file", None
    if url.startswith("file://"):
        from urllib.parse import unquote

        url = unquote(url.removeprefix("file://"))
    return "editable" if is_editable else "file", url


def _read(path: str, *, limit: int = -1) -> bytes | None:
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read(limit)
    except OSError:
        return None
