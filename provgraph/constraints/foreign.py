"""Checking a file that comes from elsewhere, in a process of its own: bounded, without a network."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from provgraph import errors
from provgraph.constraints.statements import Finding
from provgraph.errors import FormatError, ProvgraphError, UsageError

MAX_BYTES: Final = 256 * 1024 * 1024
_WORKER: Final = Path(__file__).with_name("worker.py")

FORMATS_BY_SUFFIX: Final = {
    ".provn": "provn",
    ".provx": "xml",
    ".xml": "xml",
    ".json": "json",
    ".jsonld": "jsonld",
    ".ttl": "turtle",
    ".trig": "trig",
    ".nt": "ntriples",
    ".nq": "nquads",
    ".rdf": "rdfxml",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What came of checking a file."""

    format: str
    statements: int
    bundles: int
    findings: tuple[Finding, ...]


def format_of(path: Path, data: bytes) -> str:
    """Tell in which format a document is, by its suffix and by what stands in it.

    Raises:
        UsageError: neither says.
    """
    form = FORMATS_BY_SUFFIX.get(path.suffix.lower())
    head = data[:4096].lstrip(b"\xef\xbb\xbf \t\r\n")
    if form == "xml" and b"http://www.w3.org/1999/02/22-rdf-syntax-ns#" in head and b":RDF" in head:
        return "rdfxml"
    if form in {"json", "jsonld"}:
        # PROV-JSONLD names its context; any other JSON-LD is RDF, and PROV-JSON has no context.
        if b'"@context"' not in data:
            return "json"
        return (
            "jsonld"
            if b"prov-jsonld" in data[:65536] or b"openprovenance" in data[:65536]
            else "rdf-jsonld"
        )
    if form is not None:
        return form
    if head.startswith(b"{"):
        return format_of(path.with_suffix(".json"), data)
    if head.startswith(b"<?xml") or b"<prov:document" in head:
        return "xml"
    if re.match(rb"(//[^\n]*\n|/\*.*?\*/|\s)*document\b", head, re.DOTALL):
        return "provn"
    raise UsageError(
        f"cannot tell in which format {path.name} is; name it with --format:"
        f" {', '.join(sorted({*FORMATS_BY_SUFFIX.values(), 'rdf-jsonld'}))}"
    )


def check_file(
    path: Path, *, form: str | None, timeout_s: float, memory_bytes: int, strict: bool = False
) -> Checked:
    """Check a PROV document.

    Args:
        path: the file, of at most `MAX_BYTES`.
        form: its format; None to tell it from suffix and content.
        timeout_s: after this the work is killed.
        memory_bytes: what the work may take.
        strict: as for `check`.

    Raises:
        UsageError: the file cannot be read, is too large, or its format cannot be told.
        FormatError: it is not in that format, or too much work.
    """
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise UsageError(f"{path} has {size} bytes; at most {MAX_BYTES} can be checked")
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}") from None
    form = form or format_of(path, data)
    answer = run_worker(
        _WORKER,
        data,
        name=path.name,
        request={"format": form, "strict": strict},
        timeout_s=timeout_s,
        memory_bytes=memory_bytes,
    )
    findings = (
        Finding(
            **{
                **each,
                "constraints": tuple(each["constraints"]),
                "statements": tuple(each["statements"]),
            }
        )
        for each in answer["findings"]
    )
    return Checked(
        format=form,
        statements=answer["statements"],
        bundles=answer["bundles"],
        findings=tuple(findings),
    )


def run_worker(
    worker: Path,
    data: bytes,
    *,
    name: str,
    request: dict[str, Any],
    timeout_s: float,
    memory_bytes: int,
) -> dict[str, Any]:
    """Have a file read in a process of its own, and return the answer.

    Args:
        worker: a script that reads one line of JSON and then the file, and answers with JSON.
        data: the file.
        name: of the file, for messages.
        request: what the line holds beside our path and the limits.
        timeout_s: after this the process is killed.
        memory_bytes: what it may take.

    Raises:
        FormatError: the file is too much work, or is refused by the worker.
    """
    request = {
        **request,
        "path": [each for each in sys.path if each],
        "memory_bytes": memory_bytes,
        "cpu_s": int(timeout_s) + 1,
    }
    try:
        done = subprocess.run(
            [sys.executable, "-I", str(worker)],
            input=json.dumps(request).encode() + b"\n" + data,
            capture_output=True,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise FormatError(
            f"{name} was not checked within {timeout_s:g} s; raise PROVGRAPH_QUERY_TIMEOUT_S"
        ) from None
    try:
        answer: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        raise FormatError(
            f"{name} ended the process that read it (status {done.returncode}): it nests too"
            " deeply or takes too much memory"
        ) from None
    if "error" in answer:
        raised: type[ProvgraphError] = getattr(errors, answer["error"], FormatError)
        raise raised(f"{name}: {answer['message']}")
    return answer
