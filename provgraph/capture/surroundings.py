"""The automatic facts of a run: invocation, environment and source code, read once where they stay.

Hundreds of short runs in one process share one answer: what cannot change in a process is read
once, git is asked again only after `SOURCE_FRESH_S`, and the seeds are read for every run.
"""

from __future__ import annotations

import functools
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from provgraph.capture.facts import Fact, encode
from provgraph.capture.open_runs import PARENT_VARIABLE
from provgraph.capture.seeds import read_seeds
from provgraph.loading import import_lock
from provgraph.records import Missing

SOURCE_FRESH_S: Final = 30.0


@dataclass(slots=True)
class _Known:
    """What this process knows already."""

    invocation: tuple[object, dict[str, Any]] = (None, {})  # of which surroundings, and the fact
    source: dict[str, tuple[float, Any]] = field(default_factory=dict)  # folder -> (when, fact)


_known: Final = _Known()


def automatic_facts(
    environ: Mapping[str, str], argv: Sequence[str], now_s: float
) -> tuple[tuple[str, Callable[[], Fact]], ...]:
    """Return (name, function that makes the fact); each may fail alone.

    `now_s` is the monotonic clock.
    """
    return (
        ("invocation", lambda: {"f": "invocation", "value": _invocation(environ, argv)}),
        ("environment", environment_fact),
        ("source", lambda: {"f": "source", "value": _source_code(now_s)}),
    )


def environment_fact() -> Fact:
    """Return the environment of this process, read once."""
    return {"f": "environment", "text": _environment_text()}


def _invocation(environ: Mapping[str, str], argv: Sequence[str]) -> Any:
    variables = {name: value for name, value in environ.items() if name != PARENT_VARIABLE}
    surroundings = (os.getpid(), _working_folder(), tuple(argv), variables)
    known_of, known = _known.invocation
    if known_of != surroundings:
        with import_lock:  # its probes import more
            from provgraph.capture.invocation import probe_invocation

            known = encode(probe_invocation(environ, argv))
        _known.invocation = surroundings, known
        return known
    missing: list[Missing] = []
    seeds = read_seeds(missing)
    earlier = [each for each in known.get("missing", ()) if not _is_of_seeds(each)]
    return {**known, "seeds": seeds, "missing": [*earlier, *map(encode, missing)]}


def _is_of_seeds(missing: Mapping[str, str]) -> bool:
    return missing["field"].startswith("seeds ")


def _working_folder() -> str | None:
    try:
        return os.getcwd()
    except OSError:
        return None


@functools.cache
def _environment_text() -> str:
    """Return the environment as JSON text: the text itself is what its readers look up."""
    with import_lock:  # its probes import more
        from provgraph.capture.environment import probe_environment

        return json.dumps(encode(probe_environment()), sort_keys=True)


def _source_code(now_s: float) -> Any:
    """Return the state of the source around the entry script, else around the working folder."""
    main = getattr(sys.modules.get("__main__"), "__file__", None)
    start = os.path.dirname(os.path.abspath(main)) if main else os.getcwd()
    known = _known.source.get(start)
    if known is None or not 0 <= now_s - known[0] < SOURCE_FRESH_S:
        with import_lock:
            import subprocess  # noqa: F401 - for git, which is asked outside of the lock

            from provgraph.capture.source import probe_source

        known = _known.source[start] = (now_s, encode(probe_source(Path(start))))
    return known[1]
