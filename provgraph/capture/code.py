"""What the project's code says, apart from how it is laid out: digests of its syntax trees.

Of the entry script and of every module of the same project that is loaded when the run ends: the
SHA-256 of `ast.dump` without positions, comments and docstrings. Two commits with equal digests run
the same code, so a change between them is no cause of anything. A project is the git work tree that
the script stands in, else its folder; installed packages are not part of it, they are in the
environment. Trees differ between Python's minor versions, which is why the version stands beside them.

What it does not do: code that is generated, compiled (C extensions) or read with `exec`.
"""

from __future__ import annotations

import functools
import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, Final

from provgraph.capture.redact import redact
from provgraph.digests import sha256_bytes
from provgraph.frozen import dataclass
from provgraph.loading import import_lock

MAX_FILES: Final = 300
MAX_FILE_BYTES: Final = 1_000_000
MAX_S: Final = 1.0
"""Four milliseconds a file, once per process; beyond it there is no digest rather than half of one."""

_INSTALLED: Final = ("/site-packages/", "/dist-packages/")

# Path, size and time of change -> digest: a file is parsed once per process.
_known: dict[tuple[str, int, int], str] = {}
# A process that ends many runs a second asks the disk once a second whether its files have changed: what
# it runs is what it loaded, and a change shows in the next look.
_SETTLED_S: Final = 1.0
# The last whole answer: for which files, when (monotonic), and what it was.
_whole: tuple[tuple[str, ...], float, Code] | None = None
# Which modules were looked through last, for which script and project, and the files found.
_looked_through: tuple[tuple[str | None, str, tuple[int, ...]], tuple[str, ...]] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """The digests as canonical JSON (`ast-v1`), and what of the code is not in it, with reasons.

    `content` is None where the project is too large to be read in time: half of it has no digest.
    """

    content: bytes | None
    left_out: tuple[str, ...] = ()


def probe_code(
    *,
    began_at_s: float,
    modules: Mapping[str, ModuleType] | None = None,
    monotonic: Callable[[], float] = time.monotonic,
) -> Code | None:
    """Digest the code of the project that is running; None where none is a file (a prompt).

    `began_at_s` is when the run began, on the wall clock: a file that is younger is not what ran.
    """
    loaded = sys.modules if modules is None else modules
    global _whole  # noqa: PLW0603 - one per process, as modules are
    script = _file_of(loaded.get("__main__"))
    if script is not None and _is_installed(
        script
    ):  # python -m pytest: the project is where it runs
        script = None
    root = _project(script)
    now_s = monotonic()
    paths = _own_files(tuple(loaded.values()), script, root)
    if _whole is not None and _whole[0] is paths and now_s - _whole[1] < _SETTLED_S:
        return _whole[2]
    end_s = now_s + MAX_S
    files: dict[str, str] = {}
    left_out: list[str] = []
    for number, path in enumerate(paths):
        name = _name_in(root, path)
        if number >= MAX_FILES or monotonic() > end_s:
            reason = f"its {len(paths)} files are too many to be read when a run ends"
            return Code(content=None, left_out=(reason,))
        try:
            found = os.stat(path)
            files[name] = _digest(path, found)
            if found.st_mtime > began_at_s:
                left_out.append(f"{name} was changed after the run began")
        except (OSError, SyntaxError, ValueError, RecursionError, MemoryError) as error:
            left_out.append(f"{name}: {type(error).__name__}: {error}"[:200])
    if not files:
        return None
    code = Code(content=_written(tuple(files.items())), left_out=tuple(left_out))
    if not left_out:
        _whole = (paths, now_s, code)
    return code


def _own_files(modules: tuple[Any, ...], script: str | None, root: str) -> tuple[str, ...]:
    """Return the project's files among loaded modules, in order.

    Thousands may be loaded, and most runs of a process end with the same ones: those are looked
    through once.
    """
    global _looked_through  # noqa: PLW0603 - one per process, as modules are
    key = (script, root, tuple(map(id, modules)))
    if _looked_through is None or _looked_through[0] != key:
        found = {path for module in modules if (path := _file_of(module)) and _belongs(path, root)}
        if script is not None:
            found.add(script)
        _looked_through = (key, tuple(sorted(found)))
    return _looked_through[1]


@functools.lru_cache(maxsize=4 * MAX_FILES)
def _name_in(root: str, path: str) -> str:
    return redact(os.path.relpath(path, root))


@functools.lru_cache(maxsize=4)
def _written(files: tuple[tuple[str, str], ...]) -> bytes:
    content = {
        "files": dict(files),
        "format": "ast-v1",
        "python": f"{sys.version_info[0]}.{sys.version_info[1]}",
    }
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode("ascii")


def ast_digest(source: bytes) -> str:
    """Return the SHA-256 of a source's syntax tree, without layout, comments and docstrings.

    Raises:
        SyntaxError, ValueError: no Python.
    """
    with import_lock:
        import ast
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the user's code, who has seen them when it was loaded
        tree = ast.parse(source)
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(tree):
        if isinstance(node, documented) and node.body:
            first = node.body[0]
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                node.body = node.body[1:] or [ast.Pass()]
    return sha256_bytes(ast.dump(tree).encode("utf-8", "surrogatepass")).value


def _digest(path: str, found: os.stat_result) -> str:
    key = (path, found.st_size, found.st_mtime_ns)
    if (known := _known.get(key)) is not None:
        return known
    if found.st_size > MAX_FILE_BYTES:
        raise ValueError(f"it has more than {MAX_FILE_BYTES:,} bytes")
    with open(path, "rb") as file:
        digest = ast_digest(file.read())
    if len(_known) > 10 * MAX_FILES:
        _known.clear()
    _known[key] = digest
    return digest


def _file_of(module: Any) -> str | None:
    """Return a module's source; asked of its dict, since a lazy module would load itself."""
    try:
        name = vars(module).get("__file__")
    except TypeError:
        return None
    if not isinstance(name, str) or not name.endswith(".py"):
        return None
    return os.path.abspath(name)


def _project(script: str | None) -> str:
    folder = os.getcwd() if script is None else os.path.dirname(script)
    above = folder
    while True:
        if os.path.lexists(os.path.join(above, ".git")):
            return above
        parent = os.path.dirname(above)
        if parent == above:
            return folder
        above = parent


def _is_installed(path: str) -> bool:
    return any(part in path for part in _INSTALLED)


def _belongs(path: str, root: str) -> bool:
    if not path.startswith(os.path.join(root, "")):
        return False
    if _is_installed(path):
        return False
    return not path.startswith(
        (os.path.join(sys.prefix, ""), os.path.join(sys.base_prefix, "lib", ""))
    )
