"""The process in which foreign queries run: `python -I worker.py`, nothing else in it.

It reads one JSON request from standard input, opens the index read-only, shuts its own doors (no
sockets, no programs, bounded memory and CPU), answers on standard output and exits. The parent
kills it at the deadline. A query that crashes the engine's parser (4.6 KB of `{` do) kills only
this process.

Protocol on standard output: one line of JSON, `{"kind": "select", "columns": […]}` or
`{"kind": "boolean"}` or `{"kind": "triples"}` or `{"kind": "error", "message": …}`; then rows of
terms in N-Triples syntax separated by tabs (a term has no bare tab); then the line `.` when the
answer is complete. Without that line there is no answer. UTF-8.

`python -I worker.py serve FD` answers one query after another instead, for a server's pool
(`provgraph.index.pool`). Each frame on the socket FD is a kind (one byte), a length (4 bytes,
big-endian) and that many bytes. The first frame in is `O` (open: library path and limits), then each
`Q` is a query with the folder of its snapshot, or a foreign file to be parsed (its bytes follow); out
come `D` (a piece of the serialised answer) and,
last, `E` (complete) or `X` (an error, in JSON). Without `E` there is no answer.

It is started by its path and imports nothing of the package.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import platform
import resource
import struct
import sys
from collections.abc import Iterable
from typing import Any, Final

# What a worker is started with. glibc would set 64 MiB of addresses aside for every thread that
# allocates, and a store has many: the limit on memory would be used up by reservations.
ENVIRONMENT: Final = {"LANG": "C.UTF-8", "MALLOC_ARENA_MAX": "2"}

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
        return out.refuse(str(error), is_syntax=True)
    except MemoryError:
        return out.refuse(f"needs more than {request['memory_bytes'] >> 20} MiB of memory")
    except _RefusedError as error:
        return out.refuse(str(error))
    except (OSError, ValueError, RuntimeError) as error:
        return out.refuse(str(error), is_damage=not is_open or "Corruption" in str(error))
    out.end()
    return 0


def serve(descriptor: int) -> int:
    """Answer queries from a socket until it is closed."""
    request = _Frames(descriptor).read()
    sys.path[:] = request["path"]
    import pyoxigraph as ox

    frames = _Frames(descriptor, max_bytes=request["bytes"])
    formats: dict[str, Any] = {
        name: getattr(ox.QueryResultsFormat, name, None) or getattr(ox.RdfFormat, name)
        for name in request["formats"]
    }
    # Nothing is opened yet: a store's caches and threads count as what queries may take. No limit
    # of CPU here, since one process answers many: each has its deadline in the parent.
    close_doors(memory_bytes=request["memory_bytes"], cpu_s=None)
    # What was made until here stays; queries leave no cycles worth looking for often.
    gc.freeze()
    folder, store = "", None
    while (request := frames.read()) is not None:
        is_open = False
        try:
            if "parse" in request:
                is_open = True
                _parse(ox, request, frames)
                frames.end()
                continue
            if store is None or folder != request["index"]:
                store = None  # the older snapshot's memory is free before the newer one opens
                store = ox.Store.read_only(request["index"])
                folder = request["index"]
            is_open = True
            results: Any = store.query(
                request["query"],
                base_iri=request["base"],
                default_graph=_graphs(ox, request["default_graphs"]),
                named_graphs=_graphs(ox, request["named_graphs"]),
            )
            kind = "rows" if isinstance(results, ox.QuerySolutions) else "triples"
            kind = "boolean" if isinstance(results, ox.QueryBoolean) else kind
            frames.kind(kind)
            form = formats[request["formats"][kind]]
            # The engine takes whatever has write and flush.
            results.serialize(frames, format=form)
            frames.end()
        except _RefusedError as error:
            frames.refuse("limit", str(error))
        except SyntaxError as error:
            frames.refuse("syntax", str(error))
        except MemoryError:
            frames.refuse("memory", "the query needs more memory than it may have")
        except (OSError, ValueError, RuntimeError) as error:
            is_damage = not is_open or "Corruption" in str(error)
            frames.refuse("damage" if is_damage else "engine", str(error))
        results = None
    return 0


def _parse(ox: Any, request: Any, frames: _Frames) -> None:
    """Write a foreign file's triples as N-Triples lines, without blank nodes, in any order.

    A literal that the store would rewrite is refused: its digest would not be that of what is asked.
    """
    data = frames.take(request["size"])
    form = ox.RdfFormat.from_media_type(request["parse"])
    frames.kind("triples")
    kept, values = ox.Store(), set()
    seen: dict[str, str] = {}  # blank node -> its IRI, in order of appearance

    def name(term: Any) -> Any:
        if isinstance(term, ox.BlankNode):
            skolem = seen.setdefault(term.value, f"{request['skolem']}{len(seen) + 1}")
            return ox.NamedNode(skolem)
        if isinstance(term, ox.Triple):
            raise _RefusedError("a triple term cannot be kept; say what it says in statements")
        return term

    for count, quad in enumerate(ox.parse(data, format=form, base_iri=request["base"])):
        if count >= request["statements"]:
            raise _RefusedError(f"more than {request['statements']} statements in one graph")
        if quad.graph_name != ox.DefaultGraph():
            raise SyntaxError("expected one graph, found named graphs in the file")
        subject, predicate, value = name(quad.subject), quad.predicate, name(quad.object)
        kept.add(ox.Quad(subject, predicate, value))
        values.add(value)
        frames.write(f"{subject} {predicate} {value} .\n".encode())
    rewritten = values - {quad.object for quad in kept}
    if rewritten:
        raise SyntaxError(f"the literal {min(map(str, rewritten))} has not its canonical form")


def _graphs(ox: Any, iris: list[str] | None) -> list[Any] | None:
    """Return graph names for the engine; an empty list means none, and must not mean all."""
    if iris is None:
        return None
    return [ox.NamedNode(iri) for iri in iris or ["urn:provgraph:none"]]


class _Frames:
    """Frames over a socket; a file to serialise an answer into, counted."""

    def __init__(self, descriptor: int, *, max_bytes: int = 0) -> None:
        self._descriptor = descriptor
        self._max_bytes = max_bytes
        self._left = 0
        self._held = bytearray()

    def read(self) -> Any:
        """Return the next request, None when the parent has closed the socket."""
        head = self._exactly(5)
        if head is None:
            return None
        data = self._exactly(int.from_bytes(head[1:], "big"))
        return None if data is None else json.loads(data)

    def take(self, count: int) -> bytes:
        """Return the next bytes, which follow a request."""
        return self._exactly(count) or b""

    def kind(self, name: str) -> None:
        self._left = self._max_bytes
        self._held.clear()
        self._hold(b"K", name.encode())

    def write(self, data: bytes) -> int:
        self._left -= len(data)
        if self._left < 0:
            raise _RefusedError(
                f"an answer of more than {self._max_bytes >> 20} MiB; ask for less at a time"
            )
        self._hold(b"D", data)
        return len(data)

    def flush(self) -> None:
        """Leave held what is held: a small answer goes out in one piece."""

    def end(self) -> None:
        self._hold(b"E", b"")
        self._send()

    def refuse(self, code: str, message: str) -> None:
        self._held.clear()
        self._hold(b"X", json.dumps({"code": code, "message": message}).encode())
        self._send()

    def _hold(self, kind: bytes, data: bytes) -> None:
        self._held += kind + len(data).to_bytes(4, "big") + data
        if len(self._held) > 64 * 1024:
            self._send()

    def _send(self) -> None:
        view = memoryview(bytes(self._held))
        while view:
            view = view[os.write(self._descriptor, view) :]
        self._held.clear()

    def _exactly(self, count: int) -> bytes | None:
        data = bytearray()
        while len(data) < count:
            piece = os.read(self._descriptor, count - len(data))
            if not piece:
                return None
            data += piece
        return bytes(data)


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

    def refuse(self, message: str, *, is_damage: bool = False, is_syntax: bool = False) -> int:
        # On a line of its own, so that it is found after rows too.
        refusal: dict[str, object] = {"kind": "error", "message": message}
        refusal |= {"is_damage": is_damage, "is_syntax": is_syntax}
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


def close_doors(*, memory_bytes: int, cpu_s: int | None) -> None:
    """Take sockets, new programs, memory and CPU beyond these limits from this process."""
    now = _address_space_bytes()
    resource.setrlimit(resource.RLIMIT_AS, (now + memory_bytes, now + memory_bytes))
    if cpu_s is not None:
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
    sys.exit(serve(int(sys.argv[2])) if sys.argv[1:2] == ["serve"] else main())
