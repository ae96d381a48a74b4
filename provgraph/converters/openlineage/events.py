"""OpenLineage events from bytes: strict where a meaning hangs on it, generous where clients differ.

Specification: OpenLineage 2-0-2. A file is JSON Lines, one event, or an array of events. A line that is no
event (truncated, not UTF-8, a key twice, nested too deeply, of a later major version) is refused with its
place, and the next line is read. Facets are not looked into here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, BinaryIO, Final

from provgraph.converters.report import Report
from provgraph.errors import FormatError
from provgraph.flows import FlowName

MAX_EVENT_BYTES: Final = 16 * 1024 * 1024
MAX_WHOLE_BYTES: Final = 256 * 1024 * 1024  # of a file that is no JSON Lines
MAX_NAME: Final = 2000
MAJOR: Final = 2
_TERMINAL: Final = {"COMPLETE": "completed", "FAIL": "failed", "ABORT": "abandoned"}
TYPES: Final = ("START", "RUNNING", "OTHER", "COMPLETE", "FAIL", "ABORT")
# RFC 3339, with a time zone or without; Python reads six digits of a second.
_TIME: Final = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d(?::\d\d)?)(?:\.(\d{1,9}))?([Zz]|[+-]\d\d:?\d\d)?", re.ASCII
)
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_SPEC: Final = re.compile(r"/spec/(?:facets/)?(\d{1,6})-(\d{1,6})-(\d{1,6})/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """An event, checked for what its core needs; `value` is all of it."""

    value: dict[str, Any]
    type: str | None
    time: datetime
    has_zone: bool
    run: str | None
    job: FlowName | None
    dataset: FlowName | None
    where: str

    @property
    def subject(self) -> str:
        """What it is of: the key of its unit, less the name of the converter."""
        if self.run is not None:
            return f"run/{self.run}"
        name = self.job or self.dataset
        assert name is not None, "an event is of a run, a job or a dataset"
        kind = "job" if self.job is not None else "dataset"
        return f"{kind}/{name.namespace}/{name.name}"

    @property
    def status(self) -> str | None:
        """How the run ended, None where this event tells no end."""
        return _TERMINAL.get(self.type or "")


def read_event(data: bytes, *, where: str) -> Event:
    """Read one event.

    Raises:
        FormatError: it is none, or of a version of the specification that is not known here.
    """
    if len(data) > MAX_EVENT_BYTES:
        raise FormatError(f"expected at most {MAX_EVENT_BYTES} bytes, found {len(data)}")
    return event_of(read_json(data), where=where)


def read_json(data: bytes) -> Any:
    """Read JSON in UTF-8, in which no key stands twice in one object.

    Raises:
        FormatError: it is none.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FormatError(f"expected UTF-8: {error}") from None
    try:
        return json.loads(text, object_pairs_hook=_object, parse_constant=_no_constant)
    except RecursionError:
        raise FormatError("nested too deeply to be read") from None
    except ValueError as error:
        raise FormatError(f"expected JSON: {error}") from None


def event_of(value: Any, *, where: str) -> Event:
    """Check a JSON value for the core of an event.

    Raises:
        FormatError: what an event needs is not there.
    """
    if not isinstance(value, dict):
        raise FormatError(f"expected an event, an object; found {type(value).__name__}")
    _require_version(value.get("schemaURL"))
    text = value.get("eventTime")
    match = _TIME.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise FormatError(f"/eventTime: expected a date-time, found {text!r:.80}")
    type_ = value.get("eventType")
    if type_ is not None and type_ not in TYPES:
        raise FormatError(f"/eventType: expected one of {', '.join(TYPES)}; found {type_!r:.80}")
    job = dataset = run = None
    if isinstance(value.get("run"), dict):
        run = value["run"].get("runId")
        if not isinstance(run, str) or not _UUID.fullmatch(run):
            raise FormatError(f"/run/runId: expected a UUID, found {run!r:.80}")
        run = run.lower()
    if isinstance(value.get("job"), dict):
        job = name_of(value["job"], "/job", default="(unnamed)" if run is not None else None)
    if isinstance(value.get("dataset"), dict):
        dataset = name_of(value["dataset"], "/dataset")
    if run is not None and job is None:
        raise FormatError("/job: expected the job of the run, found none")
    if run is None and (job is None) == (dataset is None):
        raise FormatError("expected an event of a run, a job or a dataset")
    for side in ("inputs", "outputs"):
        rows = value.get(side)
        if rows is None:
            continue
        if not isinstance(rows, list):
            raise FormatError(f"/{side}: expected an array, found {type(rows).__name__}")
        for place, row in enumerate(rows):
            name_of(row, f"/{side}/{place}")
    return Event(
        value=value,
        type=type_,
        time=read_time(match),
        has_zone=match[4] is not None,
        run=run,
        job=job,
        dataset=dataset,
        where=where,
    )


def name_of(value: Any, path: str, *, default: str | None = None) -> FlowName:
    """Read a namespace and a name.

    Raises:
        FormatError: one of them is not there.
    """
    if not isinstance(value, dict):
        raise FormatError(f"{path}: expected an object with namespace and name")
    found = {"namespace": value.get("namespace"), "name": value.get("name", default)}
    for key, text in found.items():
        if not isinstance(text, str) or not text:
            raise FormatError(f"{path}/{key}: expected a text, found {text!r:.80}")
        if len(text) > MAX_NAME:
            raise FormatError(f"{path}/{key}: expected at most {MAX_NAME} characters")
    return FlowName(namespace=str(found["namespace"]), name=str(found["name"]))


def time_of(text: Any) -> datetime | None:
    """Read a time that has a zone; None for anything else."""
    match = _TIME.fullmatch(text) if isinstance(text, str) else None
    if match is None or match[4] is None:
        return None
    try:
        return read_time(match)
    except FormatError:
        return None


def read_time(match: re.Match[str]) -> datetime:
    """Return the time, in UTC; one without a zone is taken as UTC, to have an order at all.

    Raises:
        FormatError: there is no such time.
    """
    date, clock, fraction, zone = match.groups()
    zone = "+00:00" if zone is None or zone in "Zz" else zone
    digits = f".{(fraction + '000000')[:6]}" if fraction else ""
    clock = clock if clock.count(":") == 2 else f"{clock}:00"
    try:
        return datetime.fromisoformat(f"{date}T{clock}{digits}{zone}").astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise FormatError(f"/eventTime: expected a date-time: {error}") from None


def is_later(schema_url: Any) -> bool:
    """Whether a facet or event says that it follows a later major version of its schema."""
    match = _SPEC.search(schema_url) if isinstance(schema_url, str) else None
    return match is not None and int(match[1]) > MAJOR


def _require_version(schema_url: Any) -> None:
    if is_later(schema_url):
        raise FormatError(
            f"/schemaURL: expected OpenLineage of at most major version {MAJOR}, found"
            f" {schema_url[:200]}; a newer provgraph may know it"
        )


# ---- files -------------------------------------------------------------------------------------------
def read_events(file: BinaryIO, *, name: str, report: Report) -> Iterator[tuple[Event, bytes]]:
    """Yield the events of a file with their bytes; what is none is a line of the report."""
    first = file.read(64).lstrip(b"\xef\xbb\xbf \t\r\n")
    file.seek(0)
    if not first.startswith(b"{") or not _is_lines(file):
        yield from _of_whole(file, name=name, report=report)
        return
    number = 0
    while line := file.readline(MAX_EVENT_BYTES + 2):
        number += 1
        where = f"{name}:{number}"
        if len(line) > MAX_EVENT_BYTES + 1 and not line.endswith(b"\n"):
            report.refused("event", where=where, reason=f"longer than {MAX_EVENT_BYTES} bytes")
            while line and not line.endswith(b"\n"):
                line = file.readline(MAX_EVENT_BYTES)
            continue
        data = line.strip()
        if not data:
            continue
        try:
            yield read_event(data, where=where), data
        except FormatError as error:
            report.refused("event", where=where, reason=str(error))


def _is_lines(file: BinaryIO) -> bool:
    """Whether the first line is a whole object, or at least no beginning of a wrapped one."""
    line = file.readline(MAX_EVENT_BYTES).strip()
    file.seek(0)
    return line not in (b"{", b"\xef\xbb\xbf{") and (line.endswith(b"}") or not _has_more(file))


def _has_more(file: BinaryIO) -> bool:
    file.readline(MAX_EVENT_BYTES)
    more = bool(file.read(1))
    file.seek(0)
    return more


def _of_whole(file: BinaryIO, *, name: str, report: Report) -> Iterator[tuple[Event, bytes]]:
    data = file.read(MAX_WHOLE_BYTES + 1)
    if len(data) > MAX_WHOLE_BYTES:
        reason = f"one JSON value of more than {MAX_WHOLE_BYTES} bytes; write one event a line"
        report.refused("file", where=name, reason=reason)
        return
    try:
        value = read_json(data)
    except FormatError as error:
        report.refused("file", where=name, reason=str(error))
        return
    rows = value if isinstance(value, list) else [value]
    for place, row in enumerate(rows):
        where = f"{name}/{place}" if isinstance(value, list) else name
        try:
            event = event_of(row, where=where)
        except FormatError as error:
            report.refused("event", where=where, reason=str(error))
            continue
        yield event, data if row is value else json.dumps(row).encode()


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise FormatError(f"expected each key once, found {twice[:80]!r} twice in one object")
    return found


def _no_constant(name: str) -> None:
    raise FormatError(f"{name} is no JSON")
