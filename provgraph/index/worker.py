"""The process in which a foreign query runs: `python -m provgraph.index.worker`, nothing else in it.

It reads one JSON request from standard input, shuts its own doors (no sockets, bounded memory and
CPU), opens the index read-only, answers on standard output and exits. The parent kills it at the
deadline. A query that crashes the engine's parser (4.6 KB of `{` do) kills only this process.

Protocol on standard output: one line of JSON, `{"kind": "select", "columns": […]}` or
`{"kind": "boolean"}` or `{"kind": "triples"}` or `{"kind": "error", "message": …}`; then rows of
terms in N-Triples syntax separated by tabs (a term has no bare tab); then the line `.` when the
answer is complete. Without that line there is no answer.
"""

from __future__ import annotations

import ctypes
import json
import platform
import resource
import struct
import sys
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


def main() -> int:
    """Answer the request on standard input."""
    request = json.load(sys.stdin)
    import pyoxigraph as ox

    write = sys.stdout.write
    try:
        store = ox.Store.read_only(request["index"])
        close_doors(memory_bytes=request["memory_bytes"], cpu_s=request["cpu_s"])
        results = store.query(
            request["query"], use_default_graph_as_union=request["union_default_graph"]
        )
        if isinstance(results, ox.QueryBoolean):
            write('{"kind":"boolean"}\n')
            write("true\n" if results else "false\n")
        elif isinstance(results, ox.QuerySolutions):
            names = [variable.value for variable in results.variables]
            write(json.dumps({"kind": "select", "columns": names}) + "\n")
            for count, row in enumerate(results):
                if count >= request["rows"]:
                    return _too_many(request["rows"])
                values = (row[name] for name in names)
                write("\t".join("" if term is None else str(term) for term in values) + "\n")
        else:
            write('{"kind":"triples"}\n')
            for count, triple in enumerate(results):
                if count >= request["rows"]:
                    return _too_many(request["rows"])
                write(f"{triple.subject}\t{triple.predicate}\t{triple.object}\n")
    except SyntaxError as error:
        return _refuse(f"syntax error: {error}")
    except MemoryError:
        return _refuse(f"needs more than {request['memory_bytes'] >> 20} MiB of memory")
    except (OSError, ValueError, RuntimeError) as error:
        return _refuse(str(error))
    write(".\n")
    return 0


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


def _too_many(rows: int) -> int:
    return _refuse(f"more than {rows} rows; add a LIMIT, or raise PROVGRAPH_QUERY_ROWS")


def _refuse(message: str) -> int:
    # On a line of its own, so that it is found after rows too.
    sys.stdout.write(json.dumps({"kind": "error", "message": message}) + "\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
