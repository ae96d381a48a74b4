"""What is well with a home and its machine, and what is not: quick checks, each with what to do.

Nothing is changed, and nothing is judged that takes long: `provgraph fsck` and `provgraph verify` look
at every entry. Sizes are bytes, times seconds.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from provgraph.access.store import AccessStore
from provgraph.errors import ProvgraphError, UsageError
from provgraph.index import worker
from provgraph.index.store import open_index
from provgraph.ledger.erasing import is_unfinished
from provgraph.seal.entry import LOG, PRODUCER, STEWARD
from provgraph.service.home import index_folder, readable_ledger, utc_now
from provgraph.service.signing import open_signer, place_of
from provgraph.service.witnessing import standing
from provgraph.settings import TABLE, Settings, load

OK: Final = "ok"
WARN: Final = "warn"
FAIL: Final = "fail"

# Below these the disk is a warning, and a fault.
_LITTLE_BYTES: Final = 2 * 1024**3
_NO_BYTES: Final = 100 * 1024**2
_CLOCK_STEP_S: Final = 300.0
# What describes one process and not a home (provgraph.settings).
_OF_A_PROCESS: Final = frozenset(
    f"PROVGRAPH_{name}"
    for name in (
        "KEY_PASSPHRASE",
        "NEW_KEY_PASSPHRASE",
        "PKCS11_PIN",
        "PARENT_RUN",
        "ENV_ALLOW",
        "CONTAINER_IMAGE",
        "TRACE_FILE",
        "TOKEN",
    )
)
# Extra -> (a module of it, what it is for).
_EXTRAS: Final[Mapping[str, tuple[tuple[str, ...], str]]] = {
    "server": (("starlette", "uvicorn", "httptools", "uvloop", "joserfc"), "provgraph serve"),
    "fast": (("nacl",), "faster checks of whole ledgers"),
    "timestamp": (("rfc3161_client",), "provgraph timestamp"),
    "pkcs11": (("pkcs11",), "keys in hardware tokens"),
}
_TRY_SANDBOX: Final = """
import importlib.util, socket, subprocess, sys
spec = importlib.util.spec_from_file_location("worker", sys.argv[1])
worker = importlib.util.module_from_spec(spec)
spec.loader.exec_module(worker)
worker.close_doors(memory_bytes=1 << 28, cpu_s=5)
for name, door in (("sockets", socket.socket), ("programs", lambda: subprocess.run(["true"]))):
    try:
        door()
    except PermissionError:
        continue
    print(name)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one check found. The text ends with what to do where it is not well."""

    level: str
    subject: str
    text: str


def examine(environ: Mapping[str, str] = os.environ) -> Iterator[Finding]:
    """Look at everything; one finding at a time, so that a slow check does not hold up the others.

    Without readable settings there is one finding.
    """
    try:
        settings = load(environ)
    except UsageError as error:
        yield Finding(level=FAIL, subject="settings", text=str(error))
        return
    yield _settings(settings, environ)
    for subject, check in _CHECKS:
        try:
            yield check(settings)
        except (ProvgraphError, OSError, sqlite3.Error) as error:
            yield Finding(level=FAIL, subject=subject, text=str(error))


def _settings(settings: Settings, environ: Mapping[str, str]) -> Finding:
    known = {f"PROVGRAPH_{row.name.upper()}" for row in TABLE} | _OF_A_PROCESS
    unknown = sorted(
        name for name in environ if name.startswith("PROVGRAPH_") and name not in known
    )
    if unknown:
        return Finding(
            level=WARN,
            subject="settings",
            text=f"{', '.join(unknown)} mean nothing here; `provgraph settings` lists what does",
        )
    file = settings.home / "config.toml"
    where = f"environment and {file}" if file.exists() else "environment"
    return Finding(level=OK, subject="settings", text=f"{len(TABLE)} settings, from {where}")


def _home(settings: Settings) -> Finding:
    home = settings.home
    if not home.exists():
        above = next(each for each in home.parents if each.exists())
        if not os.access(above, os.W_OK):
            return Finding(
                level=FAIL, subject="home", text=f"{home} cannot be made: {above} is not writable"
            )
        return Finding(
            level=WARN, subject="home", text=f"{home} is made when something is recorded"
        )
    found = home.stat()
    if stat.S_IMODE(found.st_mode) & 0o022:
        return Finding(
            level=FAIL, subject="home", text=f"others may write to {home}; chmod 700 {home}"
        )
    if found.st_uid != os.geteuid() and os.geteuid() != 0:
        return Finding(
            level=WARN, subject="home", text=f"{home} belongs to another user (id {found.st_uid})"
        )
    if not os.access(home, os.W_OK):
        return Finding(
            level=WARN,
            subject="home",
            text=f"{home} is read-only: it can be asked, not recorded to",
        )
    # The folder's names may be seen; what is in it may not.
    private = (home / name for name in ("ledger.db", "index", "keys", "access.db", "trail.db"))
    shown = [
        str(path)
        for path in private
        if path.exists() and path.stat().st_mode & found.st_mode & 0o044
    ]
    if shown:
        return Finding(
            level=WARN, subject="home", text=f"others may read {', '.join(shown)}; chmod 700 {home}"
        )
    return Finding(level=OK, subject="home", text=str(home))


def _keys(settings: Settings) -> Finding:
    found = []
    for role in (PRODUCER, STEWARD, LOG):
        place = place_of(settings, role)
        try:
            signer = open_signer(place)
        except ProvgraphError as error:
            if not settings.ledger_path.exists() or "no key at" in str(error):
                continue  # made on first use
            return Finding(level=FAIL, subject="keys", text=f"{role}: {error}")
        found.append(f"{role} {signer.verification_method.partition('#')[0][-12:]}")
    if settings.ledger_path.exists() and not any(each.startswith(LOG) for each in found):
        return Finding(
            level=FAIL,
            subject="keys",
            text="there is a ledger and no log key: nothing can be appended; put back keys/log.pem"
            " from your backup",
        )
    text = ", ".join(found) or "none yet; they are made when something is recorded"
    return Finding(level=OK, subject="keys", text=text)


def _ledger(settings: Settings) -> Finding:
    if not settings.ledger_path.exists():
        return Finding(level=OK, subject="ledger", text="none yet")
    with readable_ledger(settings) as ledger:
        size = ledger.size()
        ledger.root()  # the tree's edge is that of the signed checkpoint
        stopped = standing(ledger).stopped
    path = f"{settings.ledger_path.absolute().as_uri()}?mode=ro"
    with contextlib.closing(sqlite3.connect(path, uri=True)) as db:
        (said,) = db.execute("PRAGMA quick_check(1)").fetchone()
    if said != "ok":
        return Finding(
            level=FAIL,
            subject="ledger",
            text=f"SQLite says: {said}; keep a copy, run `provgraph fsck`, restore a backup",
        )
    if stopped is not None:
        return Finding(level=FAIL, subject="ledger", text=f"nothing is appended: {stopped}")
    if is_unfinished(settings.ledger_path):
        return Finding(
            level=WARN,
            subject="ledger",
            text="an erasure is not finished: provgraph erase --resume",
        )
    return Finding(
        level=OK, subject="ledger", text=f"{size} entries; `provgraph fsck` checks each of them"
    )


def _index(settings: Settings) -> Finding:
    if not settings.ledger_path.exists():
        return Finding(level=OK, subject="index", text="none yet")
    folder = index_folder(settings)
    if not folder.exists():
        return Finding(level=OK, subject="index", text="none yet; the first question builds it")
    with readable_ledger(settings) as ledger:
        size = ledger.size()
    with open_index(folder, wait_s=2.0) as index:
        mark = index.watermark()
    covered = 0 if mark is None else mark.size
    if covered > size:
        return Finding(
            level=FAIL,
            subject="index",
            text=f"it holds {covered} entries and the ledger {size}: the ledger is an older copy;"
            " find the newer one before you record anything",
        )
    behind = "" if covered == size else "; the next question brings it up to date"
    return Finding(level=OK, subject="index", text=f"{covered} of {size} entries{behind}")


def _disk(settings: Settings) -> Finding:
    above = next(each for each in (settings.home, *settings.home.parents) if each.exists())
    free = shutil.disk_usage(above).free
    text = f"{free / 1e9:.1f} GB free at {above}"
    if free < _NO_BYTES:
        return Finding(level=FAIL, subject="disk", text=f"{text}; make room: records need it")
    if free < _LITTLE_BYTES:
        return Finding(level=WARN, subject="disk", text=f"{text}; the index needs room to be built")
    return Finding(level=OK, subject="disk", text=text)


def _clock(settings: Settings) -> Finding:
    now_s = time.time()
    newest_s = max(
        (path.stat().st_mtime for path in settings.home.glob("ledger.db*") if path.is_file()),
        default=0.0,
    )
    if newest_s > now_s + _CLOCK_STEP_S:
        return Finding(
            level=FAIL,
            subject="clock",
            text=f"it is {newest_s - now_s:.0f} s behind the last write of the ledger; set it",
        )
    if _is_synchronised() is False:
        return Finding(
            level=WARN,
            subject="clock",
            text="it is not synchronised (NTP), and times in records are its times; start chrony or"
            " systemd-timesyncd",
        )
    return Finding(level=OK, subject="clock", text=f"{utc_now():%Y-%m-%dT%H:%M:%SZ}")


def _is_synchronised() -> bool | None:
    """Ask the kernel (adjtimex(2)); None where that cannot be asked."""
    if sys.platform != "linux":
        return None
    buffer = ctypes.create_string_buffer(512)  # struct timex, modes 0: read only
    state = ctypes.CDLL(None, use_errno=True).adjtimex(buffer)
    return None if state < 0 else state != 5  # TIME_ERROR


def _sandbox(_: Settings) -> Finding:
    done = subprocess.run(
        [sys.executable, "-I", "-c", _TRY_SANDBOX, worker.__file__],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        return Finding(
            level=FAIL,
            subject="sandbox",
            text=f"queries from outside cannot run: {reason}; a container may need a newer seccomp"
            " profile",
        )
    if done.stdout.strip():
        return Finding(
            level=WARN,
            subject="sandbox",
            text=f"this system lets queries open {' and '.join(done.stdout.split())}: they have a"
            " deadline and a memory limit, and no seccomp filter (Linux on x86-64 or ARM64 has one)",
        )
    return Finding(
        level=OK, subject="sandbox", text="queries from outside get no sockets and no programs"
    )


def _extras(_: Settings) -> Finding:
    missing = {
        extra: purpose
        for extra, (modules, purpose) in _EXTRAS.items()
        if any(importlib.util.find_spec(module) is None for module in modules)
    }
    if not missing:
        return Finding(level=OK, subject="extras", text=f"all: {', '.join(_EXTRAS)}")
    text = ", ".join(f"{extra} ({purpose})" for extra, purpose in missing.items())
    return Finding(
        level=WARN if "server" in missing else OK,
        subject="extras",
        text=f"not installed: {text}; pip install 'provgraph[{','.join(missing)}]' if you need them",
    )


def _access(settings: Settings) -> Finding:
    path = settings.home / "access.db"
    if settings.openid_issuer:
        return Finding(level=OK, subject="access", text=f"OpenID of {settings.openid_issuer}")
    if not path.exists():
        return Finding(
            level=OK, subject="access", text="nobody has a token: served to this machine only"
        )
    with contextlib.closing(AccessStore(path, clock=utc_now)) as store:
        active = [each for each in store.tokens() if each.state(utc_now()) == "active"]
        if not store.is_set_up():
            return Finding(
                level=OK, subject="access", text="nobody has a token: served to this machine only"
            )
    if not active:
        return Finding(
            level=WARN,
            subject="access",
            text="no token is valid any more: nobody gets in; provgraph access create-token",
        )
    if path.stat().st_mode & 0o077:
        return Finding(
            level=WARN, subject="access", text=f"others may read {path}; chmod 600 {path}"
        )
    return Finding(level=OK, subject="access", text=f"{len(active)} valid tokens")


_CHECKS: Final[tuple[tuple[str, Callable[[Settings], Finding]], ...]] = (
    ("home", _home),
    ("keys", _keys),
    ("ledger", _ledger),
    ("index", _index),
    ("disk", _disk),
    ("clock", _clock),
    ("sandbox", _sandbox),
    ("extras", _extras),
    ("access", _access),
)
