"""Runs inside the Python processes that `provgraph exec` starts: notes which files they open.

Python's `site` imports a module of this name at start-up (docs.python.org, "site"). It installs an
audit hook (PEP 578), which appends to the file named by `PROVGRAPH_TRACE_FILE`; the format is read
by `provgraph.capture.trace`. Then it steps aside for the sitecustomize that would have been loaded
without it. Children inherit both through the environment.

It belongs to the user's process, so: standard library only, and of it only what is loaded anyway;
no exception leaves the hook; no file stays open, because a program may close descriptors that it
does not know and open its own under the same number. Seen is what Python itself opens. What
libraries written in C, C++ or Rust open is not; that they are loaded is noted.

Runs on Python 3.9 and later; on older ones of Python 3 it only steps aside. Units: nanoseconds, bytes.
"""

import os
import stat
import sys

VARIABLE = "PROVGRAPH_TRACE_FILE"

# Part of the system or of the interpreter, which other facts describe; much is opened there.
_SYSTEM = (
    "/proc/", "/sys/", "/dev/", "/etc/", "/run/", "/bin/", "/sbin/", "/lib/", "/lib32/", "/lib64/",
    "/usr/bin/", "/usr/sbin/", "/usr/lib/", "/usr/lib32/", "/usr/lib64/", "/usr/libexec/",
    "/usr/include/", "/usr/share/", "/System/", "/Library/",
)  # fmt: skip
_OF_A_PREFIX = ("bin", "lib", "lib32", "lib64", "share", "include", "etc", "Lib", "Scripts", "DLLs")

# Libraries that open files themselves: by top-level name, or where only a part of one does, by the
# full name of that part.
_LIBRARIES = frozenset((
    "_dbm", "_gdbm", "catboost", "cv2", "duckdb", "faiss", "fasttext", "fiona", "h5py", "lance",
    "lightgbm", "llama_cpp", "lmdb", "netCDF4", "onnxruntime", "osgeo", "plyvel", "polars",
    "pyogrio", "pyreadstat", "rasterio", "safetensors", "sentencepiece", "tables", "tensorflow",
    "tensorstore", "tiledb", "torch", "xgboost",
    "pyarrow.csv", "pyarrow.dataset", "pyarrow.feather", "pyarrow.fs", "pyarrow.json",
    "pyarrow.orc", "pyarrow.parquet",
))  # fmt: skip


def _trace(target: str) -> None:
    """Install the hook that appends to the file `target`."""
    prefixes = {sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix}
    skipped = _SYSTEM + tuple(
        os.path.join(prefix, folder, "") for prefix in prefixes for folder in _OF_A_PREFIX
    )
    skipped += tuple(
        os.path.join(entry, "")
        for entry in sys.path
        if os.path.basename(os.path.normpath(entry)) in {"site-packages", "dist-packages"}
    )
    opened = {}  # type: dict[str, set[int]]  # path -> the ways of opening that were noted
    loaded = set()  # type: set[str]

    def write(*fields: object) -> None:
        # Appended in one call, so that lines of several processes do not mix. A path cannot hold
        # NUL, and no field begins with a line feed.
        line = b"\0".join(os.fsencode(str(field)) for field in fields) + b"\0\n"
        descriptor = os.open(target, os.O_WRONLY | os.O_APPEND)
        try:
            os.write(descriptor, line)
        finally:
            os.close(descriptor)

    def absolute(path: object) -> str:
        name = os.fsdecode(path)  # type: ignore[arg-type]
        # The working folder may be gone.
        return name if os.path.isabs(name) else os.path.join(os.getcwd(), name)

    def state(path: str) -> tuple[object, object]:
        """Return (mtime in ns, size) of a regular file, empty where there is none."""
        try:
            found = os.stat(path)
        except OSError:
            return "", ""
        if not stat.S_ISREG(found.st_mode):
            raise ValueError(path)  # folders, pipes, terminals: not noted
        return found.st_mtime_ns, found.st_size

    def on_open(path: object, _: object, flags: int) -> None:
        if isinstance(path, int) or path == target:
            return
        name = absolute(path)
        if name.startswith(skipped):
            return
        is_write = flags & (os.O_WRONLY | os.O_RDWR)
        # The first reading counts, and every kind of writing once.
        kind = (flags & (os.O_WRONLY | os.O_RDWR | os.O_TRUNC | os.O_EXCL)) if is_write else 0
        if kind in opened.get(name, ()):
            return
        mtime_ns, size = state(name)
        if is_write:
            keeps = not flags & (os.O_TRUNC | os.O_EXCL)
            write("W", name, mtime_ns, size, int(keeps))
        elif mtime_ns != "":
            write("R", name, mtime_ns, size)
        else:
            return  # it does not exist yet; a later try may succeed
        opened.setdefault(name, set()).add(kind)

    def on_rename(source: object, target: object, *_: object) -> None:
        names = absolute(source), absolute(target)
        write("M", *names)
        for name in names:
            opened.pop(name, None)  # from now on it is another file

    def on_link(_: object, target: object, *__: object) -> None:
        name = absolute(target)
        write("W", name, *state(name), 0)

    def on_sqlite(database: object, *_: object) -> None:
        name = os.fsdecode(database)  # type: ignore[arg-type]
        if name.startswith("file:"):
            name = name[5:].partition("?")[0]
            name = name.removeprefix("//")
        if name and not name.startswith(":"):
            name = absolute(name)
            write("W", name, *state(name), 1)

    def on_import(module: object, *_: object) -> None:
        if isinstance(module, str):
            for name in (module, module.partition(".")[0]):
                if name in _LIBRARIES and name not in loaded:
                    loaded.add(name)
                    write("L", name)

    def on_program(program: object, arguments: object = None, *_: object) -> None:
        if not program and isinstance(arguments, (list, tuple)):
            program = arguments[0]
        write("X", os.getpid(), os.path.basename(os.fsdecode(program)))  # type: ignore[arg-type]

    def on_shell(*_: object) -> None:
        on_program("sh")

    handlers = {
        "open": on_open,
        "import": on_import,
        "os.rename": on_rename,
        "os.link": on_link,
        "sqlite3.connect": on_sqlite,
        "subprocess.Popen": on_program,
        "os.exec": on_program,
        "os.posix_spawn": on_program,
        "os.system": on_shell,
    }

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        handler = handlers.get(event)
        if handler is not None:
            # An exception here would make the user's open() fail. KeyboardInterrupt is not one.
            # And importing contextlib would cost every child a millisecond.
            try:  # noqa: SIM105
                handler(*arguments)  # type: ignore[operator]
            except Exception:  # noqa: S110
                pass

    names = [
        os.path.basename(each) for each in (sys.executable, *getattr(sys, "orig_argv", ())[:2])
    ]
    library = os.path.dirname(os.__file__)
    write("P", os.getpid(), library, getattr(sys, "pycache_prefix", None) or "", *names)
    sys.addaudithook(hook)


def _step_aside() -> None:
    """Leave the path, and load the sitecustomize that this one stands in front of."""
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry) != here]
    this = sys.modules.pop(__name__)
    try:
        import sitecustomize  # type: ignore[import-not-found]  # noqa: F401
    except ImportError as error:
        if error.name != "sitecustomize":
            raise
        sys.modules[__name__] = this


# provgraph itself imports this file by its full name, for the name of the variable.
if __name__ == "sitecustomize":
    if VARIABLE in os.environ and sys.version_info >= (3, 9):
        # The trace file may be gone or closed to us; the program goes on.
        try:  # noqa: SIM105
            _trace(os.environ[VARIABLE])
        except Exception:  # noqa: S110
            pass
    _step_aside()
