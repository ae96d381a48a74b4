"""Recording a command from outside: `provgraph exec -- python train.py`, no change to its code.

The same facts as of a run inside Python, written to a journal while the command runs, so that a
killed `provgraph exec` leaves an abandoned run behind and not nothing.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from provgraph.capture.command import CommandResult, FileSeen, run_command
from provgraph.capture.environment import probe_environment
from provgraph.capture.facts import encode
from provgraph.capture.identifiers import new_id
from provgraph.capture.invocation import probe_invocation
from provgraph.capture.open_runs import PARENT_VARIABLE, inherited_parent
from provgraph.capture.recorder import Recorder
from provgraph.capture.redact import redact, redact_argv, redact_value
from provgraph.capture.sinks import Receipt
from provgraph.capture.source import probe_source
from provgraph.capture.state import JOURNAL_VERSION, Ending, Start
from provgraph.digests import Digest
from provgraph.errors import ProvgraphError
from provgraph.records import Agent, Entity, Generation, Invocation, Missing, Note, Usage
from provgraph.service.recording import LocalSink
from provgraph.settings import Settings

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
    if not argv or shutil.which(argv[0]) is None:
        # Nothing can run, so nothing is recorded; run_command says what is wrong.
        run_command(argv, inputs=list(inputs), outputs=list(outputs), trace=trace)
    run_id, recorder = _begin(settings, labels, argv)
    try:
        result = run_command(
            argv,
            inputs=list(inputs),
            outputs=list(outputs),
            trace=trace,
            environ={**os.environ, PARENT_VARIABLE: run_id},
        )
    except ProvgraphError as error:
        recorder.end(error)
        raise
    _record(recorder, result, inputs, outputs)
    receipt = recorder.end(None, ending=_ending(result))
    return Executed(run_id=run_id, result=result, receipt=receipt)


def _begin(settings: Settings, labels: Labels, argv: Sequence[str]) -> tuple[str, Recorder]:
    """Open the journal and write what is known before the command starts."""
    run_id = new_id()
    recorder = Recorder(
        LocalSink(settings),
        run_id=run_id,
        is_strict=False,
        clock=time.time,
        monotonic=time.monotonic,
    )
    owner = labels.owner or settings.owner or None
    recorder.begin(
        Start(
            version=JOURNAL_VERSION,
            run=run_id,
            record=run_id,
            name=redact(labels.name),
            at=recorder.started_at,
            project=labels.project,
            experiment=labels.experiment,
            owner=None if owner is None else Agent(name=owner),
            plan=None if labels.plan is None else redact(labels.plan),
            parent=inherited_parent(os.environ),
        )
    )
    recorder.write({"f": "invocation", "value": encode(_invocation(argv))})
    recorder.write({"f": "source", "value": encode(probe_source(Path.cwd()))})
    if labels.tags:
        tags = {redact(name): redact_value(name, value) for name, value in labels.tags.items()}
        recorder.write({"f": "tags", "value": tags})
    if owner is None:
        _missing(recorder, "owner", "no owner was given; pass --owner or set PROVGRAPH_OWNER")
    if _same_python(shutil.which(argv[0]) if argv else None):
        text = json.dumps(encode(probe_environment()), sort_keys=True)
        recorder.write({"f": "environment", "text": text})
    else:
        program = argv[0] if argv else "nothing"
        reason = f"{program} does not run under this Python, so its packages were not looked at"
        _missing(recorder, "environment", reason)
    return run_id, recorder


def _record(
    recorder: Recorder,
    result: CommandResult,
    inputs: Mapping[Path, str | None],
    outputs: Mapping[Path, str | None],
) -> None:
    """Record what the command did."""
    for seen in result.files_read:
        entity = _entity(seen, default="dataset" if seen.is_declared else "file")
        recorder.record("use", Usage(entity=entity, role=_role(inputs, seen)))
    for seen in result.code_read:
        entity = replace(_entity(seen, default="file"), kind="file")
        recorder.record("use", Usage(entity=entity, role="code"))
    for seen in result.files_written:
        role = _role(outputs, seen)
        entity = _entity(seen, default="model" if role == "model" else "file")
        recorder.record("generate", Generation(entity=entity, role=role))
    for unknown in result.missing:
        recorder.record("missing", unknown)
    if result.gone_count:
        text = f"{result.gone_count} files were written and gone again at the end"
        recorder.record("note", Note(text=text, at=result.ended_at))
    tail = (result.stderr_tail or "").strip()
    if result.exit_code != 0 and tail:
        recorder.record("note", Note(text=f"end of stderr:\n{tail}", at=result.ended_at))


def _role(declared: Mapping[Path, str | None], seen: FileSeen) -> str | None:
    """Return the role that the user gave a file, however its path was written."""
    path = os.path.abspath(seen.path)
    return next((role for each, role in declared.items() if os.path.abspath(each) == path), None)


def _ending(result: CommandResult) -> Ending:
    status, reason = "completed", None
    if result.exit_code != 0:
        tail = (result.stderr_tail or "").strip()
        last = tail.splitlines()[-1] if tail else "nothing on stderr"
        status = "abandoned" if result.exit_code in _INTERRUPTED else "failed"
        reason = f"exit code {result.exit_code}: {last[:500]}"
    return Ending(
        ended_at=result.ended_at,
        duration_s=round(result.duration_s, 6),
        status=status,
        reason=reason,
        exit_code=result.exit_code,
    )


def _missing(recorder: Recorder, field: str, reason: str) -> None:
    recorder.record("missing", Missing(field=field, reason=redact(reason)))


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
