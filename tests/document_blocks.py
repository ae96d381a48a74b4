"""Reads the code blocks of a Markdown page and runs them, as a reader would type them.

All blocks of one page run in order, in one empty folder, with a provgraph home of their own:

- ```` ```python ```` is run as a script, ```` ```bash ```` and ```` ```sh ```` under `bash -eu`.
- ```` ```console ```` holds commands after `$ ` (continued after `> `), each followed by what it
  prints. Output is compared where some is shown; `…` stands for any text within a line, and alone
  on a line for any lines. A command has to succeed, unless the next one is `$ echo $?`.
- `file=NAME` after the language writes the block into the folder instead of running it.
- `no-run` after the language leaves it out; `make` targets named in it have to exist.
- `<!-- setup`, alone on a line, begins a bash script that readers do not see; `-->` ends it.
- Other languages are not looked at.

The port 8321 stands for one that is free. What a page leaves running is ended with it.
"""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

TIMEOUT_S = 180

RUNNABLE = ("bash", "console", "python", "sh")

_FENCE = re.compile(r" {0,3}(```+|~~~+)\s*(.*?)\s*")
_SETUP = "<!-- setup"
# Between the outputs of two commands of one session: the record separator, which no page shows.
_MARK = "\x1e"


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A code block: where its first line stands, its language, its further words, its text."""

    line: int
    language: str
    words: tuple[str, ...] = ()
    text: str

    @property
    def file(self) -> str | None:
        """The name under which the block is kept, None where it is not a file."""
        return next((word[5:] for word in self.words if word.startswith("file=")), None)

    @property
    def is_runnable(self) -> bool:
        """Whether a reader would run this, and the test does."""
        return self.language in RUNNABLE and self.file is None and "no-run" not in self.words


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A command of a console block and the output shown below it."""

    line: int
    text: str
    shown: str


def read_blocks(page: str) -> list[Block]:
    """Return the blocks of a page in order, hidden setup scripts among them."""
    blocks = []
    lines = iter(enumerate(page.splitlines(), start=1))
    for number, line in lines:
        fence = _FENCE.fullmatch(line)
        if fence is None and line.strip() != _SETUP:
            continue
        end = "-->" if fence is None else fence[1]
        text = []
        for _, inner in lines:
            if inner.strip() == end:
                break
            text.append(inner)
        else:
            raise AssertionError(f"line {number}: a block begins here and does not end")
        language, *words = (fence[2].split() if fence else ()) or [""]
        blocks.append(
            Block(
                line=number + 1,
                language="setup" if fence is None else language,
                words=tuple(words),
                text="".join(f"{each}\n" for each in text),
            )
        )
    return blocks


def read_commands(block: Block) -> list[Command]:
    """Take a console block apart into commands and what they print."""
    commands: list[Command] = []
    for number, line in enumerate(block.text.splitlines(), start=block.line):
        if line.startswith("$ "):
            commands.append(Command(line=number, text=line[2:], shown=""))
            continue
        if not commands:
            raise AssertionError(f"line {number}: a console block begins with a command after `$ `")
        last = commands.pop()
        if line.startswith("> ") and not last.shown:
            text, shown = f"{last.text}\n{line[2:]}", ""
        else:
            text, shown = last.text, f"{last.shown}{line}\n"
        commands.append(Command(line=last.line, text=text, shown=shown))
    return commands


def run_page(page: str, folder: Path) -> int:
    """Run all that is runnable in a page and return how many blocks that was.

    Raises:
        AssertionError: a block failed, or a command printed something else than is shown.
    """
    try:
        return _run_page(page.replace("8321", _free_port()), folder)
    finally:
        _end_what_runs_in(folder)


def _run_page(page: str, folder: Path) -> int:
    variables = _variables(folder)
    count = 0
    for block in read_blocks(page):
        if block.file is not None:
            path = folder / block.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, "utf-8")
        elif block.language == "setup":
            _run_script(block, ["bash", "-eu", "-c", block.text], folder, variables)
        elif block.is_runnable:
            count += 1
            if block.language == "console":
                _run_console(block, folder, variables)
            elif block.language == "python":
                _run_script(block, [sys.executable, "-c", block.text], folder, variables)
            else:
                script = f"set -o pipefail\n{block.text}"
                _run_script(block, ["bash", "-eu", "-c", script], folder, variables)
    return count


def matches(shown: str, printed: str) -> bool:
    """Whether the printed text is what is shown, `…` standing for anything."""
    pattern = ""
    for line in _tidy(shown).splitlines():
        if line.strip() == "…":
            pattern += r"(?:[^\n]*\n)*"
        else:
            pattern += "[^\n]*".join(map(re.escape, line.split("…"))) + r"\n"
    return re.fullmatch(pattern, _tidy(printed)) is not None


def _tidy(text: str) -> str:
    lines = [line.rstrip() for line in text.splitlines()]
    return "\n".join(lines).strip("\n") + "\n"


def _variables(folder: Path) -> dict[str, str]:
    programs = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    return {
        "PATH": programs,
        "HOME": str(folder),
        "PROVGRAPH_HOME": str(folder / ".provgraph"),
        "LANG": "C.UTF-8",
        "COLUMNS": "100",
    }


def _run_script(
    block: Block, command: list[str], folder: Path, variables: Mapping[str, str]
) -> None:
    done = _run(command, folder, variables)
    assert done.returncode == 0, f"line {block.line}: exit code {done.returncode}\n{done.stdout}"


def _run_console(block: Block, folder: Path, variables: Mapping[str, str]) -> None:
    """Run the commands in one session, so that `cd` and `$?` mean what a reader expects."""
    commands = read_commands(block)
    script = "".join(
        f"{command.text}\ncode=$?; printf '{_MARK}%d{_MARK}' $code; (exit $code)\n"
        for command in commands
    )
    done = _run(["bash", "-c", script], folder, variables)
    parts = done.stdout.split(_MARK)
    results = list(zip(parts[0::2], parts[1::2], strict=False))
    assert len(results) == len(commands), f"line {block.line}: the session broke off\n{done.stdout}"
    for at, (command, (printed, code)) in enumerate(zip(commands, results, strict=True)):
        where = f"line {command.line}: $ {command.text}"
        asked = [following.text for following in commands[at + 1 : at + 2]]
        assert code == "0" or asked == ["echo $?"], f"{where}\nexit code {code}\n{printed}"
        if command.shown:
            assert matches(command.shown, printed), (
                f"{where}\n--- shown ---\n{command.shown}--- printed ---\n{printed}"
            )


def _free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def _end_what_runs_in(folder: Path) -> None:
    """End the processes that were started in a folder and go on there: a page's server."""
    for each in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (each / "cwd").resolve().is_relative_to(folder) and int(each.name) != os.getpid():
                os.kill(int(each.name), signal.SIGTERM)


def _run(
    command: list[str], folder: Path, variables: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=folder,
        env=dict(variables),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=TIMEOUT_S,
        check=False,
    )
