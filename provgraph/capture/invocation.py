"""How this process was started, and where: what differs from run to run.

Command line, entry script with its digest, working folder, host, user, allow-listed variables,
seeds, CI job, place in a cluster. Secrets are redacted here, before anything is written.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Final

from provgraph.capture.attempt import learn
from provgraph.capture.ci import probe_ci
from provgraph.capture.cluster import probe_cluster
from provgraph.capture.container import probe_container
from provgraph.capture.redact import redact_argv
from provgraph.capture.seeds import read_seeds
from provgraph.capture.variables import probe_variables
from provgraph.digests import Digest, digest_path
from provgraph.errors import CaptureError
from provgraph.records import Invocation, Missing

# Programs that run the cells of a notebook, by the name of their script.
_KERNELS: Final = frozenset({"ipykernel_launcher", "colab_kernel_launcher"})
# Options of Python that a word of their own follows.
_WITH_VALUE: Final = frozenset({"-W", "-X"})


def probe_invocation(
    environ: Mapping[str, str],
    argv: Sequence[str],
    *,
    main: ModuleType | None = None,
    root: Path = Path("/"),
) -> Invocation:
    """Return how this process was started.

    `main` is the module that was started, by default the one that Python names `__main__`; `root`
    stands for `/`.
    """
    missing: list[Missing] = []
    main = main or sys.modules.get("__main__")
    script = learn("entry_script", lambda: _entry_script(main, environ, argv), missing)
    digest = None
    if script is not None:
        digest = learn("entry_script_digest", lambda: _script_digest(script), missing)
    ci = probe_ci(environ)
    placement = probe_cluster(environ)
    container = probe_container(environ, root)
    cluster = placement.cluster | ({"container.id": container.id} if container.id else {})
    return Invocation(
        command=redact_argv(argv),
        entry_script=script,
        entry_script_digest=digest,
        working_folder=learn("working_folder", os.getcwd, missing),
        host=learn("host", _host, missing),
        user=learn("user", lambda: _user(environ), missing),
        process=os.getpid(),
        variables=probe_variables(environ, without=placement.variables),
        seeds=read_seeds(missing),
        ci_system=ci.system,
        ci_job=ci.job,
        ci_actor=ci.actor,
        cluster=cluster,
        rank=placement.rank,
        world_size=placement.world_size,
        missing=(*missing, *ci.missing, *placement.missing),
    )


def _entry_script(main: ModuleType | None, environ: Mapping[str, str], argv: Sequence[str]) -> str:
    """Return the path of the script or notebook that was started.

    Raises:
        CaptureError: there is none: code from the command line, from standard input, a prompt.
    """
    names = vars(main) if main is not None else {}
    started = _started(argv)
    file = names.get("__file__")
    if isinstance(file, str) and not file.startswith("<"):  # "<stdin>"
        path = Path(file).absolute()
        # A zip application is started as one file; the module inside it is none.
        return next((str(each) for each in (path, *path.parents) if each.is_file()), str(path))
    notebook = names.get("__vsc_ipynb_file__") or environ.get("JPY_SESSION_NAME")
    if os.path.basename(started).removesuffix(".py") in _KERNELS or notebook:
        if not notebook:
            raise CaptureError("a notebook, whose kernel does not say which; name it as the plan")
        return str(notebook)
    if started == "-c":
        raise CaptureError("the code was given on the command line, with -c")
    raise CaptureError("the code came from a prompt or standard input")


def _started(argv: Sequence[str]) -> str:
    """Return what Python was told to run: a script, a module, `-c`; empty for a prompt.

    Takes the arguments with the interpreter before them (`sys.orig_argv`) or without (`sys.argv`).
    """
    words = iter(argv)
    for place, word in enumerate(words):
        if word == "-m":
            return next(words, "")
        if word.startswith("-") and not word.startswith("--") and word.endswith("c"):
            return "-c"  # also among others: -Ic
        if word in _WITH_VALUE:
            next(words, None)
        elif not word.startswith("-") and not (
            place == 0 and os.path.basename(word).startswith(("python", "pypy"))
        ):
            return word
    return ""


def _script_digest(script: str) -> Digest:
    if script.endswith(".ipynb"):
        raise CaptureError("the cells of a notebook may run in any order, edited or not saved")
    return digest_path(Path(script)).digest


def _host() -> str:
    if hasattr(os, "uname"):
        return os.uname().nodename
    import socket

    return socket.gethostname()


def _user(environ: Mapping[str, str]) -> str:
    """Return the account that runs this process: by its id, since variables can say anything."""
    try:
        import pwd
    except ImportError:
        return environ["USERNAME"]
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"  # containers run under ids that no account has
