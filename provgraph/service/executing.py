"""Recording a command from outside: `provgraph exec -- python train.py`, no change to its code.

The same facts as of a run inside Python, written to a journal while the command runs, so that a
killed `provgraph exec` leaves an abandoned run behind and not nothing.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from provgraph.capture.command import CommandResult, FileSeen, run_command
from provgraph.capture.environment import probe_environment
from provgraph.capture.facts import Fact, encode
from provgraph.capture.invocation import probe_invocation
from provgraph.capture.journal import Journal, fallback_folder
from provgraph.capture.redact import redact, redact_argv
from provgraph.capture.run import PARENT_VARIABLE, logger, new_run_id
from provgraph.capture.sinks import Receipt
from provgraph.capture.source import probe_source
from provgraph.capture.state import JOURNAL_VERSION, RunState
from provgraph.digests import Digest
from provgraph.errors import ProvgraphError
from provgraph.records import Agent, Entity, Generation, Invocation, Missing, Note, Usage
from provgraph.service.home import utc_now
from provgraph.service.recording import LocalSink
from provgraph.settings import Settings
from provgraph.terms import format_time

_KINDS: Final = {
    "dataset": (".csv", ".tsv", ".parquet", ".feather", ".arrow", ".npy", ".npz", ".jsonl"),
    "model": (
        ".pkl",
        ".pickle",
        ".joblib",
        ".pt",
        ".pth",
        ".onnx",
        ".h5",
        ".keras",
        ".safetensors",
    ),
}
_INTERRUPTED: Final = frozenset({130, 143, 137})


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """What the user says of the run."""

    name: str
    project: str | None = None
    experiment: str | None = None
    owner: str | None = None
    plan: str | None = None
    tags: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Executed:
    """How the command ended, and where its record stands; no receipt where it could not be sealed."""

    run_id: str
    result: CommandResult
    receipt: Receipt | None


def execute(
    settings: Settings,
    argv: Sequence[str],
    *,
    labels: Labels,
    inputs: Mapping[Path, str | None],
    outputs: Mapping[Path, str | None],
    trace: bool = True,
) -> Executed:
    """Run a command to its end and record it.

    Args:
        settings: where to record.
        argv: the command.
        labels: what the user says of the run.
        inputs: declared inputs with their roles.
        outputs: declared outputs with their roles.
        trace: whether Python children tell which files they open.

    Raises:
        NotFoundError: there is no such command; nothing is recorded.
        UsageError: the command cannot be executed.
    """
    recorder = _Recorder(settings, labels, argv)
    try:
        result = run_command(
            argv,
            inputs=list(inputs),
            outputs=list(outputs),
            trace=trace,
            environ={**os.environ, PARENT_VARIABLE: recorder.run_id},
        )
    except ProvgraphError:
        recorder.discard()
        raise
    recorder.finish(result, inputs, outputs)
    return Executed(run_id=recorder.run_id, result=result, receipt=recorder.seal())


class _Recorder:
    """The facts of one command, in a journal and in memory."""

    def __init__(self, settings: Settings, labels: Labels, argv: Sequence[str]) -> None:
        self._settings = settings
        self._state = RunState()
        self._journal = _open_journal(settings, self.run_id_for())
        now = utc_now()
        owner = labels.owner or settings.owner or None
        self._write(
            {
                "f": "start",
                "version": JOURNAL_VERSION,
                "run": self.run_id,
                "record": self.run_id,
                "at": format_time(now),
                "name": redact(labels.name),
                **{
                    key: redact(value)
                    for key in ("project", "experiment", "plan")
                    if (value := getattr(labels, key)) is not None
                },
                **({} if owner is None else {"owner": encode(Agent(name=owner))}),
                **_parent(),
            }
        )
        self._write({"f": "invocation", "value": encode(_invocation(argv))})
        self._write({"f": "source", "value": encode(probe_source(Path.cwd()))})
        if labels.tags:
            self._write({"f": "tags", "value": dict(labels.tags)})
        if owner is None:
            self.missing("owner", "no owner was given; pass --owner or set PROVGRAPH_OWNER")
        program = shutil.which(argv[0]) if argv else None
        if _same_python(program):
            self._write({"f": "environment", "value": encode(probe_environment())})
        else:
            reason = f"{argv[0]} does not run under this Python, so its packages were not looked at"
            self.missing("environment", reason)

    def run_id_for(self) -> str:
        """Choose the run's id, once."""
        self.run_id = new_run_id()
        return self.run_id

    def missing(self, field: str, reason: str) -> None:
        """Record an unknown."""
        self._add("missing", Missing(field=field, reason=redact(reason)), utc_now())

    def finish(
        self,
        result: CommandResult,
        inputs: Mapping[Path, str | None],
        outputs: Mapping[Path, str | None],
    ) -> None:
        """Record what the command did."""
        end = result.ended_at
        for seen in result.files_read:
            entity = _entity(seen, default="dataset" if seen.is_declared else "file")
            self._add("use", Usage(entity=entity, role=inputs.get(seen.path)), end)
        for seen in result.code_read:
            entity = replace(_entity(seen, default="file"), kind="file")
            self._add("use", Usage(entity=entity, role="code"), end)
        for seen in result.files_written:
            entity = _entity(seen, default="file")
            self._add("generate", Generation(entity=entity, role=outputs.get(seen.path)), end)
        for unknown in result.missing:
            self._add("missing", unknown, end)
        if result.gone_count:
            text = f"{result.gone_count} files were written and gone again at the end"
            self._add("note", Note(text=text, at=end), end)
        fact: Fact = {
            "f": "end",
            "ended_at": format_time(end),
            "duration_s": round(result.duration_s, 6),
            "status": "completed",
            "exit_code": result.exit_code,
        }
        if result.exit_code != 0:
            tail = (result.stderr_tail or "").strip()
            if tail:
                self._add("note", Note(text=f"end of stderr:\n{tail}", at=end), end)
            last = tail.splitlines()[-1] if tail else "nothing on stderr"
            fact["status"] = "abandoned" if result.exit_code in _INTERRUPTED else "failed"
            fact["reason"] = f"exit code {result.exit_code}: {last[:500]}"
        self._write(fact)

    def seal(self) -> Receipt | None:
        """Seal the run; where that fails, keep the journal and say so."""
        try:
            receipt = LocalSink(self._settings).seal(self._state)
        except (ProvgraphError, OSError) as error:
            kept = "nowhere" if self._journal is None else str(self._journal.path)
            logger.warning("provgraph: not in the ledger yet: %s. The facts are in %s", error, kept)
            if self._journal is not None:
                self._journal.close(remove=False)
            return None
        if self._journal is not None:
            self._journal.close(remove=True)
        return receipt

    def discard(self) -> None:
        """Forget a run whose command never started."""
        if self._journal is not None:
            self._journal.close(remove=True)

    def _add(self, kind: str, value: Any, at: datetime) -> None:
        self._write({"f": kind, "value": encode(value), "at": format_time(at)})

    def _write(self, fact: Fact) -> None:
        if self._journal is not None:
            self._journal.write(fact)
        self._state.apply(fact)


def _open_journal(settings: Settings, run_id: str) -> Journal | None:
    for folder in (settings.journal_folder, fallback_folder()):
        try:
            return Journal.create(folder, run_id)
        except OSError as error:
            logger.warning("provgraph: no journal in %s: %s", folder, error.strerror or error)
    return None


def _parent() -> dict[str, str]:
    around = os.environ.get(PARENT_VARIABLE)
    return {"parent": around} if around else {}


def _invocation(argv: Sequence[str]) -> Invocation:
    """Describe the command, not `provgraph exec` around it."""
    script = next(
        (each for each in argv[1:] if each.endswith((".py", ".ipynb", ".sh", ".R"))), None
    )
    own = probe_invocation(os.environ, list(argv))
    digest: Digest | None = None
    if script is not None and os.path.isfile(script):
        from provgraph.digests import digest_path

        digest = digest_path(Path(script)).digest
        script = os.path.abspath(script)
    return replace(
        own,
        command=redact_argv(list(argv)),
        entry_script=script,
        entry_script_digest=digest,
        process=None,
        seeds={name: seed for name, seed in own.seeds.items() if name == "PYTHONHASHSEED"},
        missing=tuple(each for each in own.missing if not each.field.startswith("entry_script")),
    )


def _same_python(program: str | None) -> bool:
    """Whether the command is the Python that we run under, in the same environment."""
    if program is None:
        return False
    folder = os.path.dirname(os.path.abspath(program))
    return os.path.realpath(program) == os.path.realpath(sys.executable) and (
        folder == os.path.dirname(os.path.abspath(sys.executable))
    )


def _entity(seen: FileSeen, *, default: str) -> Entity:
    suffix = seen.path.suffix.lower()
    kind = next((kind for kind, suffixes in _KINDS.items() if suffix in suffixes), default)
    location = os.path.abspath(seen.path)
    if seen.digest is None:
        unknown = Missing(field="digest", reason=seen.reason or "not known")
        return Entity(kind=kind, name=seen.path.name, location=location, missing=(unknown,))
    return Entity(
        kind=kind,
        name=seen.path.name,
        location=location,
        digest=seen.digest.digest,
        size_bytes=seen.digest.size_bytes,
        file_count=seen.digest.file_count if seen.digest.digest.algorithm != "sha256" else None,
    )
