"""Profiles: requirements on what is recorded of a model, as versioned data in `ontology/profiles`.

A profile that asks for nothing, or for a fact that no question can answer, is refused: a check that
checks nothing must not pass.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from dataclasses import dataclass
from typing import Any, Final

from provgraph import resources
from provgraph.digests import Digest, sha256_bytes
from provgraph.errors import FormatError, NotFoundError

FACTS: Final = (
    "run",
    "maker",
    "owner",
    "source-code",
    "environment",
    "parameters",
    "seeds",
    "data",
    "data-digest",
    "data-licence",
    "data-origin",
    "evaluation",
    "evaluation-data",
    "evaluation-size",
    "validation",
    "approval",
    "intended-use",
    "tier",
    "risk-class",
)
"""What `queries/Q29-completeness.rq` finds out; a test holds the two together."""

_NAME: Final = re.compile(r"[a-z][a-z0-9.-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """Something that has to be recorded of a model."""

    id: str
    title: str
    fact: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A named, versioned set of requirements."""

    id: str
    version: str
    title: str
    requirements: tuple[Requirement, ...]
    digest: Digest


def load_profile(name: str) -> Profile:
    """Read a profile by its name.

    Raises:
        NotFoundError: there is none; near names are suggested.
        FormatError: it is not in its form.
    """
    folder = resources.folder("ontology") / "profiles"
    names = sorted(path.name.removesuffix(".toml") for path in folder.glob("*.toml"))
    if not _NAME.fullmatch(name) or name not in names:
        near = difflib.get_close_matches(name[:100], names, n=1)
        hint = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(names)}"
        raise NotFoundError(f"no profile is called {name[:100]!r}{hint}")
    return parse_profile((folder / f"{name}.toml").read_bytes(), where=f"{name}.toml")


def parse_profile(data: bytes, *, where: str) -> Profile:
    """Read a profile's TOML.

    Raises:
        FormatError: something is missing, unknown or asked twice; or nothing is asked at all.
    """
    try:
        value: dict[str, Any] = tomllib.loads(data.decode("utf-8"))
        rows = value.get("requirement", [])
        profile = Profile(
            id=str(value["id"]),
            version=str(value["version"]),
            title=str(value["title"]),
            requirements=tuple(Requirement(**row) for row in rows),
            digest=sha256_bytes(data),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise FormatError(f"{where}: broken profile: {error}") from None
    if unknown := sorted(value.keys() - {"id", "version", "title", "requirement"}):
        raise FormatError(f"{where}: there is no key {unknown[0]!r} in a profile")
    if not profile.requirements:
        raise FormatError(f"{where}: it requires nothing, so every model would meet it")
    seen: set[str] = set()
    for each in profile.requirements:
        if each.id in seen:
            raise FormatError(f"{where}: the requirement {each.id!r} stands twice")
        seen.add(each.id)
        if each.fact not in FACTS:
            near = difflib.get_close_matches(str(each.fact), FACTS, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise FormatError(f"{where}: {each.id}: no fact is called {each.fact!r}{hint}")
    return profile
