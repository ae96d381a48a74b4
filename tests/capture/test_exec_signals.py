"""Signals sent to `provgraph exec` reach the command; the terminal's reach it once."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from provgraph.capture.process import run_to_end

ROOT = Path(__file__).parents[2]

PARENT = (
    "import sys; from provgraph.capture.process import run_to_end; import os;"
    "print(run_to_end(sys.argv[1:], os.environ).exit_code, flush=True)"
)
# Says when it is ready; on a signal says which, and exits with 7. Counts them for a moment.
CHILD = """
import signal, sys, time
seen = []
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
    signal.signal(number, lambda number, frame: seen.append(number))
print("ready", flush=True)
while not seen:
    time.sleep(0.01)
time.sleep(0.3)
print(*[signal.Signals(number).name for number in seen], flush=True)
sys.exit(7)
"""


def parent(*command: str) -> list[str]:
    return [sys.executable, "-c", PARENT, *command]


def environ() -> dict[str, str]:
    return dict(os.environ) | {"PYTHONPATH": str(ROOT)}


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1"])
def test_a_signal_is_passed_on(name: str) -> None:
    # In a session of its own, so without a terminal, as under a scheduler.
    process = subprocess.Popen(
        parent(sys.executable, "-c", CHILD),
        env=environ(),
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    with process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.Signals[name])
        assert process.stdout.read() == f"{name}\n7\n"
    assert process.returncode == 0


def test_interrupt_from_a_terminal_arrives_once() -> None:
    process_id, terminal = pty.fork()
    if process_id == 0:
        os.execve(sys.executable, parent(sys.executable, "-c", CHILD), environ())
    text = b""
    try:
        while b"ready" not in text:
            text += os.read(terminal, 1024)
        os.write(terminal, b"\x03")  # Ctrl-C
        while b"7\r\n" not in text:
            text += os.read(terminal, 1024)
    finally:
        os.close(terminal)
        os.waitpid(process_id, 0)
    assert text.replace(b"^C", b"").split() == [b"ready", b"SIGINT", b"7"]


def test_a_command_that_a_signal_ends() -> None:
    assert run_to_end(["sh", "-c", "kill -TERM $$"], os.environ).exit_code == 143
    assert run_to_end(["sh", "-c", "exit 255"], os.environ).exit_code == 255


def test_what_is_ignored_stays_ignored() -> None:
    code = f"import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN); {PARENT}"
    child = "import signal; print(signal.getsignal(signal.SIGHUP) == signal.SIG_IGN)"
    done = subprocess.run(
        [sys.executable, "-c", code, sys.executable, "-c", child],
        env=environ(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "True\n0\n"


def test_our_handlers_are_put_back() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    run_to_end(["true"], os.environ)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_from_a_thread_that_may_not_handle_signals() -> None:
    codes: list[int] = []
    thread = threading.Thread(
        target=lambda: codes.append(run_to_end(["sh", "-c", "exit 5"], os.environ).exit_code)
    )
    thread.start()
    thread.join()
    assert codes == [5]


def test_no_descriptor_is_left_open() -> None:
    run_to_end(["true"], os.environ)
    before = sorted(os.listdir("/proc/self/fd"))
    run_to_end(["true"], os.environ)
    time.sleep(0.05)
    assert sorted(os.listdir("/proc/self/fd")) == before
