"""The automatic facts of a run: invocation, environment and source code, read once where they stay.

Hundreds of short runs in one process share one answer, down to the journal's line: what cannot change
in a process is read once, git is asked again only after `SOURCE_FRESH_S`, and the seeds are read for
every run.
"""

from __future__ import annotations

import functools
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from provgraph.capture.facts import Fact, Told, encode
from provgraph.capture.journal import line_of
from provgraph.capture.open_runs import PARENT_VARIABLE
from provgraph.capture.seeds import read_seeds
from provgraph.frozen import replace
from provgraph.loading import import_lock
from provgraph.records import Invocation

SOURCE_FRESH_S: Final = 30.0


class _Known:
    """What this process knows already."""

    def __init__(self) -> None:
        self.surroundings: object = None  # those of the invocation below
        self.invocation: Told | None = None
        self.source: dict[str, tuple[float, Told]] = {}  # folder -> (when, fact)


_known: Final = _Known()


def automatic_facts(
    environ: Mapping[str, str], argv: Sequence[str], now_s: float
) -> tuple[tuple[str, Callable[[], Told]], ...]:
    """Return (name, function that makes the fact); each may fail alone.

    `now_s` is the monotonic clock.
    """
    return (
        ("invocation", lambda: _invocation(environ, argv)),
        ("environment", environment_fact),
        ("source", lambda: _source_code(now_s)),
    )


@functools.cache
def environment_fact() -> Told:
    """Return the environment of this process, read once."""
    with import_lock:  # its probes import more
        from provgraph.capture.environment import probe_environment

        # As JSON text: the text itself is what its readers look up.
        text = json.dumps(encode(probe_environment()), sort_keys=True)
    return _told({"f": "environment", "text": text})


def _invocation(environ: Mapping[str, str], argv: Sequence[str]) -> Told:
    surroundings = (os.getpid(), _working_folder(), tuple(argv), _variables(environ))
    known = _known.invocation
    if known is None or _known.surroundings != surroundings:
        with import_lock:  # its probes import more
            from provgraph.capture.invocation import probe_invocation

            found = probe_invocation(environ, argv)
        known = _told({"f": "invocation", "value": encode(found)}, found)
    else:
        before: Invocation = known.part
        missing = [each for each in before.missing if not each.field.startswith("seeds ")]
        seeds = read_seeds(missing)
        if seeds != before.seeds or tuple(missing) != before.missing:
            found = replace(before, seeds=seeds, missing=tuple(missing))
            known = _told({"f": "invocation", "value": encode(found)}, found)
    _known.surroundings, _known.invocation = surroundings, known
    return known


def _variables(environ: Mapping[str, str]) -> Mapping[Any, Any]:
    """Return a copy to compare with; which run is open, which is said there too, does not count."""
    # The bytes that os.environ decodes at every look: for fifty variables, a tenth of the time.
    raw: Any = getattr(environ, "_data", environ) if environ is os.environ else environ
    variables = dict(raw)
    for name in (PARENT_VARIABLE, os.fsencode(PARENT_VARIABLE)):
        variables.pop(name, None)
    return variables


def _working_folder() -> str | None:
    try:
        return os.getcwd()
    except OSError:
        return None


def _source_code(now_s: float) -> Told:
    """Return the state of the source around the entry script, else around the working folder."""
    main = getattr(sys.modules.get("__main__"), "__file__", None)
    start = os.path.dirname(os.path.abspath(main)) if main else os.getcwd()
    known = _known.source.get(start)
    if known is None or not 0 <= now_s - known[0] < SOURCE_FRESH_S:
        with import_lock:
            import subprocess  # noqa: F401 - for git, which is asked outside of the lock

            from provgraph.capture.source import probe_source

        found = probe_source(Path(start))
        known = (now_s, _told({"f": "source", "value": encode(found)}, found))
        _known.source[start] = known
    return known[1]


def _told(fact: Fact, part: Any = None) -> Told:
    return Told(fact=fact, part=part, line=line_of(fact))
