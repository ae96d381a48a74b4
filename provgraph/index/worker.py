"""The process in which a foreign query runs: `python -I worker.py`, nothing else in it.

It reads one JSON request from standard input, opens the index read-only, shuts its own doors (no
sockets, no programs, bounded memory and CPU), answers on standard output and exits. The parent
kills it at the deadline. A query that crashes the engine's parser (4.6 KB of `{` do) kills only
this process.

Protocol on standard output: one line of JSON, `{"kind": "select", "columns": […]}` or
`{"kind": "boolean"}` or `{"kind": "triples"}` or `{"kind": "error", "message": …}`; then rows of
terms in N-Triples syntax separated by tabs (a term has no bare tab); then the line `.` when the
answer is complete. Without that line there is no answer. UTF-8.

It is started by its path and imports nothing of the package.
"""

from __future__ import annotations

import ctypes
import json
import platform
import resource
import struct
import sys
from collections.abc import Iterable
from typing import Final

# seccomp (Linux): classic BPF programs over struct seccomp_data {int nr; u32 arch; …}.
_PR_SET_NO_NEW_PRIVS: Final = 38
_PR_SET_SECCOMP: Final = 22
_SECCOMP_MODE_FILTER: Final = 2
_ALLOW: Final = 0x7FFF0000
_REFUSE: Final = 0x00050000 | 13  # errno EACCES
_KILL: Final = 0x80000000
# (audit architecture, numbers of socket, socketpair, connect, execve, execveat, io_uring_setup)
_ARCHITECTURES: Final = {
    "x86_64": (0xC000003E, (41, 53, 42, 59, 322, 425)),
    "aarch64": (0xC00000B7, (198, 199, 203, 221, 281, 425)),
}


class _RefusedError(Exception):
    """What ends the answer, in words."""


def main() -> int:
    """Answer the request on standard input."""
    request = json.load(sys.stdin.buffer)
    sys.path[:] = request["path"]
    import pyoxigraph as ox

    out = _Output(rows=request["rows"], max_bytes=request["bytes"])
    is_open = False
    try:
        store = ox.Store.read_only(request["index"])
        close_doors(memory_bytes=request["memory_bytes"], cpu_s=request["cpu_s"])
        is_open = True
        results = store.query(request["query"])
        if isinstance(results, ox.QueryBoolean):
            out.head({"kind": "boolean"})
            out.row(["true" if results else "false"])
        elif isinstance(results, ox.QuerySolutions):
            names = [variable.value for variable in results.variables]
            out.head({"kind": "select", "columns": names})
            for row in results:
                out.row("" if (term := row[name]) is None else _text(term) for name in names)
        else:
            out.head({"kind": "triples"})
            for triple in results:
                out.row(map(_text, triple))
    except SyntaxError as error:
        return out.refuse(f"syntax error: {error}")
    except MemoryError:
        return out.refuse(f"needs more than {request['memory_bytes'] >> 20} MiB of memory")
    except _RefusedError as error:
        return out.refuse(str(error))
    except (OSError, ValueError, RuntimeError) as error:
        return out.refuse(str(error), is_damage=not is_open or "Corruption" in str(error))
    out.end()
    return 0


class _Output:
    """Standard output in UTF-8 whatever the locale, counted."""

    def __init__(self, *, rows: int, max_bytes: int) -> None:
        self._rows = rows
        self._max_rows = rows
        self._bytes = max_bytes
        self._max_bytes = max_bytes

    def head(self, value: dict[str, object]) -> None:
        self._write(json.dumps(value))

    def row(self, values: Iterable[str]) -> None:
        self._rows -= 1
        if self._rows < 0:
            raise _RefusedError(
                f"more than {self._max_rows} rows; add a LIMIT, or raise PROVGRAPH_QUERY_ROWS"
            )
        self._write("\t".join(values))

    def end(self) -> None:
        sys.stdout.buffer.write(b".\n")
        sys.stdout.buffer.flush()

    def refuse(self, message: str, *, is_damage: bool = False) -> int:
        # On a line of its own, so that it is found after rows too.
        refusal = {"kind": "error", "message": message, "is_damage": is_damage}
        sys.stdout.buffer.write(json.dumps(refusal).encode() + b"\n")
        sys.stdout.buffer.flush()
        return 1

    def _write(self, line: str) -> None:
        data = line.encode() + b"\n"
        self._bytes -= len(data)
        if self._bytes < 0:
            raise _RefusedError(
                f"an answer of more than {self._max_bytes >> 20} MiB; ask for less at a time"
            )
        sys.stdout.buffer.write(data)


def _text(term: object) -> str:
    if type(term).__name__ == "Triple":
        raise _RefusedError("a triple term cannot be answered; select its parts with SUBJECT(…)")
    return str(term)


def close_doors(*, memory_bytes: int, cpu_s: int) -> None:
    """Take sockets, new programs, memory and CPU beyond these limits from this process."""
    now = _address_space_bytes()
    resource.setrlimit(resource.RLIMIT_AS, (now + memory_bytes, now + memory_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    known = _ARCHITECTURES.get(platform.machine())
    if sys.platform != "linux" or known is None:
        # No filter for this system: the lexical refusal of SERVICE in the parent remains.
        return
    architecture, refused = known
    program = [
        (0x20, 0, 0, 4),  # load arch
        (0x15, 1, 0, architecture),
        (0x06, 0, 0, _KILL),
        (0x20, 0, 0, 0),  # load nr
        (0x35, 0, 1, 0x40000000),  # x32 numbers would slip past the list
        (0x06, 0, 0, _REFUSE),
        *((0x15, len(refused) - place, 0, number) for place, number in enumerate(refused)),
        (0x06, 0, 0, _ALLOW),
        (0x06, 0, 0, _REFUSE),
    ]
    code = b"".join(struct.pack("=HBBI", *instruction) for instruction in program)
    buffer = ctypes.create_string_buffer(code)
    header = struct.pack("@HP", len(program), ctypes.addressof(buffer))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(
        _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, header, 0, 0
    ):
        raise OSError(ctypes.get_errno(), "the query sandbox could not be closed")


def _address_space_bytes() -> int:
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[0]) * resource.getpagesize()
    except OSError:
        return 1 << 30


if __name__ == "__main__":
    sys.exit(main())
