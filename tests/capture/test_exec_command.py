"""`provgraph exec` on real commands: what was read, written and run, and what could not be seen."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from provgraph.capture.command import MAX_FILES, CommandResult, FileSeen, run_command
from provgraph.digests import digest_path
from provgraph.errors import NotFoundError, UsageError
from provgraph.records import Missing


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder, with a home and a folder for temporary files outside of it."""
    work = tmp_path / "work"
    work.mkdir()
    (tmp_path / "tmp").mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.delenv("PYTHONPATH", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    return work


def python(code: str, *arguments: str, **options: object) -> CommandResult:
    """Run a script of the given code, in the working folder."""
    Path("script.py").write_text(code)
    return run_command([sys.executable, "script.py", *arguments], **options)  # type: ignore[arg-type]


def seen(path: str, **facts: object) -> FileSeen:
    place = Path(path).absolute()
    return FileSeen(path=place, digest=digest_path(place), **facts)  # type: ignore[arg-type]


def unknown(path: str, reason: str) -> FileSeen:
    return FileSeen(path=Path(path).absolute(), reason=reason)


def names(files: tuple[FileSeen, ...]) -> list[str]:
    return [os.path.relpath(each.path) for each in files]


# ---- what the hook sees --------------------------------------------------------------------------
def test_pandas_and_numpy() -> None:
    pd.DataFrame({"a": [1, 2]}).to_csv("in.csv", index=False)
    np.save("weights.npy", np.arange(3))
    result = python(
        "import numpy as np, pandas as pd\n"
        "frame = pd.read_csv('in.csv')\n"
        "weights = np.load('weights.npy', mmap_mode='r')\n"
        "frame.to_csv('out.csv'); np.save('out.npy', frame.to_numpy())\n"
        "np.savez('out.npz', weights)\n"
        "frame.to_pickle('out.pkl'); np.arange(3.0).tofile('out.raw')\n"
    )
    assert result.exit_code == 0
    assert result.files_read == (seen("in.csv"), seen("weights.npy"))
    assert result.files_written == tuple(
        seen(f"out.{suffix}") for suffix in ("csv", "npy", "npz", "pkl", "raw")
    )
    assert result.code_read == (seen("script.py"),)
    assert (result.gone_count, result.missing, result.stderr_tail) == (0, (), None)


def test_modules_of_the_user_are_code_compiled_or_not() -> None:
    Path("features").mkdir()
    Path("features/__init__.py").write_text("")
    Path("features/scale.py").write_text("FACTOR = 2\n")
    code = "import features.scale\n"
    expected = (seen("features/__init__.py"), seen("features/scale.py"))
    os.utime("features/__init__.py", (1, 1))
    os.utime("features/scale.py", (1, 1))
    first = python(code)
    assert first.code_read[1:] == expected
    assert Path("features/__pycache__").is_dir() is True
    second = python(code)  # opens only the compiled files
    assert second.code_read[1:] == expected
    assert (second.files_read, second.files_written) == ((), ())


def test_compiled_files_kept_in_one_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPYCACHEPREFIX", str(tmp_path / "compiled"))
    Path("scale.py").write_text("FACTOR = 2\n")
    os.utime("scale.py", (1, 1))
    for _ in range(2):
        result = python("import scale, json, csv\n")
        assert result.code_read == (seen("script.py"), seen("scale.py"))
        assert (result.files_read, result.files_written) == ((), ())


def test_read_then_changed_by_the_command() -> None:
    Path("state.txt").write_text("1")
    result = python(
        "text = open('state.txt').read()\nopen('state.txt', 'w').write(text + ' and more')\n"
    )
    assert result.files_read == (unknown("state.txt", "changed after it was read"),)
    assert result.files_written == (seen("state.txt"),)


def test_appended_to() -> None:
    Path("results.csv").write_text("a\n")
    Path("empty.csv").write_text("")
    result = python(
        "for name in ('results.csv', 'empty.csv', 'new.csv'):\n    open(name, 'a').write('b\\n')\n"
    )
    reason = "changed by the command; what stood in it before is not known"
    assert result.files_read == (unknown("results.csv", reason),)
    assert result.files_written == (seen("results.csv"), seen("empty.csv"), seen("new.csv"))


def test_opened_for_update_and_left_alone() -> None:
    Path("data.bin").write_bytes(b"data")
    result = python("open('data.bin', 'r+b').read()\n")
    assert result.files_read == (seen("data.bin"),)
    assert result.files_written == ()


def test_what_the_command_wrote_itself_is_no_input() -> None:
    result = python("open('mid.txt', 'w').write('x')\nopen('mid.txt').read()\n")
    assert result.files_read == ()
    assert result.files_written == (seen("mid.txt"),)


def test_removed_after_reading() -> None:
    Path("in.txt").write_text("x")
    result = python("import os\nopen('in.txt').read()\nos.remove('in.txt')\n")
    assert result.files_read == (unknown("in.txt", "removed after it was read"),)


def test_temporary_files_are_counted() -> None:
    result = python(
        "import os\n"
        "for number in range(3):\n"
        "    open(f'tmp{number}', 'w').write('x')\n"
        "    if number: os.remove(f'tmp{number}')\n"
    )
    assert result.files_written == (seen("tmp0"),)
    assert result.gone_count == 2


def test_failed_opens_leave_nothing() -> None:
    Path("folder").mkdir()
    result = python(
        "for name, mode in [('no.txt', 'r'), ('no/no.txt', 'w'), ('folder', 'r'), (99, 'r')]:\n"
        "    try:\n"
        "        open(name, mode)\n"
        "    except OSError as error:\n"
        "        print(type(error).__name__)\n"
    )
    assert (result.files_read, result.files_written, result.missing) == ((), (), ())


def test_renames_are_followed() -> None:
    Path("in.txt").write_text("in")
    Path("old.txt").write_text("old")
    result = python(
        "import os, shutil\n"
        "open('out.tmp', 'w').write('out'); os.replace('out.tmp', 'out.txt')\n"
        "open('in.txt').read(); os.rename('in.txt', 'done.txt')\n"
        "os.mkdir('d.tmp'); open('d.tmp/a', 'w').write('a'); os.rename('d.tmp', 'd')\n"
        "shutil.move('old.txt', 'moved.txt')\n"
        "shutil.copyfile('out.txt', 'copy.txt'); os.link('copy.txt', 'link.txt')\n"
    )
    moved = FileSeen(path=Path("in.txt").absolute(), digest=digest_path(Path("done.txt")))
    assert result.files_read == (moved,)
    written = ["out.txt", "done.txt", "d/a", "moved.txt", "copy.txt", "link.txt"]
    assert result.files_written == tuple(seen(name) for name in written)
    assert result.gone_count == 0


def test_checkpoints_and_a_crash_between_writing_and_renaming() -> None:
    result = python(
        "import os\n"
        "for epoch in range(3):\n"
        "    open('model.tmp', 'w').write(str(epoch))\n"
        "    if epoch == 2: os._exit(9)\n"
        "    os.replace('model.tmp', 'model.txt')\n"
    )
    assert result.exit_code == 9
    assert result.files_written == (seen("model.tmp"), seen("model.txt"))


def test_a_working_folder_that_is_removed() -> None:
    result = python(
        "import os\n"
        "os.mkdir('gone'); os.chdir('gone'); os.rmdir(os.getcwd())\n"
        f"open({str(Path('out.txt').absolute())!r}, 'w').write('x')\n"
    )
    assert result.exit_code == 0
    assert result.files_written == (seen("out.txt"),)


def test_one_file_under_two_names_is_one() -> None:
    Path("data").mkdir()
    Path("data/a.txt").write_text("a")
    Path("link.txt").symlink_to("data/a.txt")
    result = python(
        "import os\nopen('link.txt').read()\nopen('data/../data/a.txt').read()\n"
        "os.chdir('data')\nopen(b'a.txt').read()\n"
    )
    assert result.files_read == (seen("link.txt"),)


def test_names_of_any_bytes() -> None:
    for name in (b"line\nfeed", b"not utf-8 \xff", "émoji 🙂".encode()):
        Path(os.fsdecode(name)).write_bytes(name)
    result = python("import os\nfor name in sorted(os.listdir(b'.')): open(name, 'rb').read()\n")
    assert names(result.files_read) == sorted(
        ["line\nfeed", "not utf-8 \udcff", "émoji 🙂"], key=os.fsencode
    )


def test_sqlite_databases() -> None:
    for name in ("read.db", "changed.db"):
        with sqlite3.connect(name) as connection:
            connection.execute("CREATE TABLE t (a)")
        connection.close()
    result = python(
        "import sqlite3, pathlib\n"
        "def run(name, sql, **options):\n"
        "    connection = sqlite3.connect(name, **options)\n"
        "    connection.execute(sql); connection.commit(); connection.close()\n"
        "run(pathlib.Path('read.db'), 'SELECT * FROM t')\n"
        "run('file:changed.db?mode=rw', 'INSERT INTO t VALUES (1)', uri=True)\n"
        "run('new.db', 'CREATE TABLE t (a)'); run(':memory:', 'CREATE TABLE t (a)')\n"
    )
    reason = "changed by the command; what stood in it before is not known"
    assert result.files_read == (seen("read.db"), unknown("changed.db", reason))
    assert result.files_written == (seen("changed.db"), seen("new.db"))


def test_caches_and_the_system_are_left_out_and_models_in_the_cache_are_not(tmp_path: Path) -> None:
    for name in (".cache/matplotlib/fonts.json", ".cache/huggingface/model.bin"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    Path(".git").mkdir()
    Path(".git/HEAD").write_text("x")
    result = python(
        "import pathlib, numpy, os\n"
        "home = pathlib.Path.home()\n"
        "for name in ['/etc/hostname', '/proc/self/stat', '/usr/lib/os-release', '.git/HEAD',\n"
        "             os.__file__, numpy.__file__, home / '.cache/matplotlib/fonts.json',\n"
        "             home / '.cache/huggingface/model.bin']:\n"
        "    open(name, 'rb').read()\n"
    )
    assert result.files_read == (seen(str(tmp_path / ".cache/huggingface/model.bin")),)
    assert result.code_read == (seen("script.py"),)


@pytest.mark.parametrize("name", [".env", ".env.prod", "secrets.toml", ".aws/config", "key.pem"])
def test_credentials_are_not_digested(name: str) -> None:
    Path(name).parent.mkdir(exist_ok=True)
    Path(name).write_text("PASSWORD=hunter2")
    result = python(f"open({name!r}).read()\n")
    reason = "not digested: by its name it holds credentials"
    assert result.files_read == (unknown(name, reason),)


def test_more_files_than_are_named() -> None:
    Path("images").mkdir()
    for number in range(MAX_FILES + 2):
        Path(f"images/{number}").write_text("x")
    code = "import os\nfor name in os.listdir('images'): open('images/' + name).read()\n"
    result = python(code)
    assert len(result.files_read) == MAX_FILES
    reason = (
        f"2 more files below {Path('images').absolute()} are not named one by one;"
        " declare the folder"
    )
    assert result.missing == (Missing(field="files_read", reason=reason),)
    declared = python(code, inputs=[Path("images")])
    assert declared.files_read == (seen("images", is_declared=True),)
    assert declared.missing == ()


# ---- processes -----------------------------------------------------------------------------------
def test_children_and_forks_are_seen() -> None:
    for name in ("a", "b", "c", "d"):
        Path(f"{name}.txt").write_text(name)
    result = python(
        "import multiprocessing, os, subprocess, sys\n"
        "def read(name): return open(name).read()\n"
        "if __name__ == '__main__':\n"
        "    subprocess.run([sys.executable, '-c', 'open(\"a.txt\").read()'], check=True)\n"
        "    child = os.fork()\n"
        "    if not child:\n"
        "        read('b.txt'); os._exit(0)\n"
        "    os.waitpid(child, 0)\n"
        "    with multiprocessing.get_context('spawn').Pool(1) as pool: pool.map(read, ['c.txt'])\n"
        "    os.execv(sys.executable, [sys.executable, '-c', 'open(\"d.txt\").read()'])\n"
    )
    assert result.exit_code == 0
    assert names(result.files_read) == ["a.txt", "b.txt", "c.txt", "d.txt"]
    assert result.missing == ()


def test_a_shell_command() -> None:
    Path("in.txt").write_text("x")
    os.utime("in.txt", (1, 1))
    code = f"cat in.txt > out.txt; {sys.executable} -c \"open('in.txt').read()\""
    result = run_command(["sh", "-c", code])
    assert names(result.files_read) == ["in.txt"]
    assert result.missing == (
        Missing(
            field="files",
            reason="sh is not a Python program; only what it ran in Python was seen",
        ),
        Missing(
            field="files_written",
            reason="changed while the command ran, by it or by another:"
            f" {Path('out.txt').absolute()}; if it did, use --out",
        ),
    )


def test_declared_files_of_another_program() -> None:
    Path("in.txt").write_text("x")
    result = run_command(
        ["cp", "in.txt", "out.txt"], inputs=[Path("in.txt")], outputs=[Path("out.txt")]
    )
    assert result.files_read == (seen("in.txt", is_declared=True),)
    assert result.files_written == (seen("out.txt", is_declared=True),)
    reason = "cp is not a Python program, so only declared files are recorded"
    assert result.missing == (Missing(field="files", reason=reason),)


def test_declared_files_are_digested_before_the_command_changes_them() -> None:
    Path("in.txt").write_text("before")
    before = digest_path(Path("in.txt"))
    result = run_command(["sh", "-c", "echo after > in.txt"], inputs=[Path("in.txt")])
    (found,) = result.files_read
    assert found.digest == before


def test_declared_files_that_are_not_there() -> None:
    result = run_command(["true"], inputs=[Path("no.txt")], outputs=[Path("none.txt")])
    assert result.files_read == (
        FileSeen(
            path=Path("no.txt").absolute(),
            reason=f"no such file: {Path('no.txt').absolute()}",
            is_declared=True,
        ),
    )
    assert result.files_written[0].reason == f"no such file: {Path('none.txt').absolute()}"


@pytest.mark.parametrize("path", ["model.bin", "models"])
def test_a_declared_output_from_before_is_not_passed_off_as_new(path: str) -> None:
    Path("models").mkdir()
    Path("models/a.bin").write_text("old")
    Path("model.bin").write_text("old")
    result = run_command(["false"], outputs=[Path(path)])
    assert result.exit_code == 1
    assert result.files_written == (
        FileSeen(
            path=Path(path).absolute(),
            reason="declared as an output, but not changed by the command: it is from before",
            is_declared=True,
        ),
    )


def has_other_python() -> bool:
    command = ["/usr/bin/python3", "-c", "import sys; sys.exit(sys.version_info < (3, 9))"]
    return Path(command[0]).exists() and subprocess.run(command, check=False).returncode == 0


@pytest.mark.skipif(not has_other_python(), reason="no second Python 3.9 or later here")
def test_another_python_than_ours() -> None:
    Path("in.txt").write_text("x")
    result = run_command(["/usr/bin/python3", "-c", "open('in.txt').read()"])
    assert result.exit_code == 0
    assert result.files_read == (seen("in.txt"),)
    assert result.missing == ()


@pytest.mark.parametrize("option", ["-I", "-E", "-S"])
def test_an_interpreter_that_does_not_load_the_hook(option: str) -> None:
    Path("in.txt").write_text("x")
    os.utime("in.txt", (1, 1))
    result = run_command([sys.executable, option, "-c", "open('in.txt').read()"])
    name = os.path.basename(sys.executable)
    reason = (
        f"{name} did not load the hook (options -I, -E and -S prevent it), so only declared files"
        " are recorded"
    )
    assert result.files_read == ()
    assert result.missing == (Missing(field="files", reason=reason),)


def test_a_child_that_does_not_load_the_hook() -> None:
    result = python(
        "import subprocess, sys\n"
        "subprocess.run([sys.executable, '-I', '-c', 'pass'], check=True)\n"
        "subprocess.run([sys.executable, '-c', 'pass'], check=True)\n"
        "subprocess.run(['uname'], check=True, stdout=subprocess.DEVNULL)\n"
        "subprocess.run('true', shell=True, check=True)\n"
    )
    assert result.missing == (
        Missing(field="files", reason="other programs were started, and not seen: sh"),
        Missing(
            field="files",
            reason="1 Python processes were started without the hook, or could not start",
        ),
    )


def test_without_tracing() -> None:
    result = python("open('out.txt', 'w').write('x')\n", trace=False)
    assert (result.files_written, result.code_read) == ((), ())
    assert result.missing[0] == Missing(
        field="files", reason="tracing was switched off, so only declared files are recorded"
    )


def test_no_place_for_the_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")
    result = run_command([sys.executable, "-c", "pass"])
    assert result.exit_code == 0
    (missing,) = result.missing
    assert missing.field == "files"
    assert missing.reason.startswith("FileNotFoundError: [Errno 2] No such file") is True


def test_libraries_that_open_files_themselves() -> None:
    result = python("import polars\npolars.DataFrame({'a': [1]}).write_parquet('out.parquet')\n")
    assert result.files_written == ()
    assert result.missing == (
        Missing(
            field="files",
            reason="polars can open files without Python seeing it; declare such files with --in"
            " and --out",
        ),
        Missing(
            field="files_written",
            reason="changed while the command ran, by it or by another:"
            f" {Path('out.parquet').absolute()}; if it did, use --out",
        ),
    )


def test_pandas_alone_is_seen_and_its_parquet_is_not() -> None:
    assert python("import pandas as pd\npd.DataFrame().to_csv('a.csv')\n").missing == ()
    result = python("import pandas as pd\npd.DataFrame({'a': [1]}).to_parquet('a.parquet')\n")
    assert result.missing[0].reason.startswith("pyarrow can open files") is True


# ---- the child is left as it was -----------------------------------------------------------------
def test_a_hook_of_the_program_itself_stays() -> None:
    Path("in.txt").write_text("x")
    result = python(
        "import sys\n"
        "opened = []\n"
        "sys.addaudithook(lambda event, args: event == 'open' and opened.append(args[0]))\n"
        "open('in.txt').read()\n"
        "open('out.txt', 'w').write(repr([name for name in opened if name == 'in.txt']))\n"
    )
    assert Path("out.txt").read_text() == "['in.txt']"
    assert names(result.files_read) == ["in.txt"]


def test_a_hook_that_forbids_opening_is_obeyed() -> None:
    Path("in.txt").write_text("x")
    result = python(
        "import sys\n"
        "def forbid(event, args):\n"
        "    if event == 'open': raise PermissionError('no files here')\n"
        "sys.addaudithook(forbid)\n"
        "try:\n"
        "    open('in.txt')\n"
        "except PermissionError as error:\n"
        "    print(error)\n"
    )
    assert result.exit_code == 0


def test_the_sitecustomize_behind_ours_is_loaded() -> None:
    Path("site").mkdir()
    Path("site/sitecustomize.py").write_text("import sys; sys.was_customized = __file__\n")
    environ = dict(os.environ) | {"PYTHONPATH": str(Path("site").absolute())}
    code = (
        "import sys, sitecustomize\n"
        "open('out.txt', 'w').write(f'{sys.was_customized} {sitecustomize.__file__} {sys.path[1]}')\n"
    )
    result = python(code, environ=environ)
    assert result.exit_code == 0
    theirs = str(Path("site/sitecustomize.py").absolute())
    assert Path("out.txt").read_text() == f"{theirs} {theirs} {os.path.dirname(theirs)}"


def test_a_broken_sitecustomize_fails_as_it_would_without_us() -> None:
    Path("site").mkdir()
    Path("site/sitecustomize.py").write_text("import no_such_module\n")
    environ = dict(os.environ) | {"PYTHONPATH": str(Path("site").absolute())}
    Path("script.py").write_text("print('ran')\n")
    plain = subprocess.run(
        [sys.executable, "script.py"], env=environ, capture_output=True, check=False
    )
    result = python("print('ran')\nraise SystemExit(3)\n", environ=environ)
    assert result.exit_code == 3
    assert result.stderr_tail == plain.stderr.decode()
    assert result.stderr_tail == (
        "Error in sitecustomize; set PYTHONVERBOSE for traceback:\n"
        "ModuleNotFoundError: No module named 'no_such_module'\n"
    )


def test_the_search_path_and_modules_are_those_of_a_plain_run() -> None:
    code = "import sys\nopen(sys.argv[1], 'w').write(repr([sys.path, sorted(sys.modules)]))\n"
    Path("script.py").write_text(code)
    subprocess.run([sys.executable, "script.py", "plain.txt"], check=True)
    python(code, "traced.txt")
    ours = eval(Path("traced.txt").read_text())
    theirs = eval(Path("plain.txt").read_text())
    assert ours[0] == theirs[0]
    assert sorted(set(ours[1]) - set(theirs[1])) == ["sitecustomize"]


def test_a_program_may_close_every_descriptor() -> None:
    result = python(
        "import os\n"
        "os.closerange(3, 256)\n"
        "mine = os.open('mine.txt', os.O_RDWR | os.O_CREAT)\n"
        "open('other.txt', 'w').write('x')\n"
        "os.write(mine, b'only this')\n"
    )
    assert Path("mine.txt").read_bytes() == b"only this"
    assert names(result.files_written) == ["mine.txt", "other.txt"]


def test_a_trace_file_that_is_lost_does_not_matter_to_the_program() -> None:
    result = python(
        "import os\n"
        "os.remove(os.environ['PROVGRAPH_TRACE_FILE'])\n"
        "open('out.txt', 'w').write('x')\n"
        "os.mkdir(os.environ['PROVGRAPH_TRACE_FILE'])\n"
        "open('out2.txt', 'w').write('x')\n"
    )
    assert result.exit_code == 0
    assert Path("out2.txt").read_text() == "x"
    assert result.missing[0].reason.startswith("IsADirectoryError: [Errno 21]") is True


def test_commands_that_cannot_run() -> None:
    with pytest.raises(NotFoundError, match="command not found: no-such-command; check"):
        run_command(["no-such-command"])
    Path("script").write_text("#!/no/such/interpreter\n")
    with pytest.raises(UsageError, match=r"\./script is not executable; run it through"):
        run_command(["./script"])
    Path("script").chmod(0o755)
    with pytest.raises(NotFoundError, match="names an interpreter in its first line"):
        run_command(["./script"])
    Path("script").write_text("no first line\n")
    with pytest.raises(UsageError, match=r"cannot be executed \(Exec format error\)"):
        run_command(["./script"])
    with pytest.raises(UsageError, match="found none; write it after --"):
        run_command([])
    with pytest.raises(UsageError, match="embedded null byte"):
        run_command(["true", "a\0b"])


def test_nothing_of_ours_is_left_behind(tmp_path: Path) -> None:
    python("open('out.txt', 'w').write('x')\n")
    assert os.listdir(tmp_path / "tmp") == []
    assert sorted(os.listdir()) == ["out.txt", "script.py"]


# ---- endings -------------------------------------------------------------------------------------
def test_a_failing_script_keeps_the_end_of_its_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    result = python(
        "import sys\n"
        "print('to stdout')\n"
        "print('x' * 20000, file=sys.stderr)\n"
        "print('\\N{SNOWMAN} connecting to postgres://ana:hunter2@db/churn', file=sys.stderr)\n"
        "raise SystemExit(3)\n"
    )
    assert result.exit_code == 3
    assert result.stderr_tail == "☃ connecting to postgres://ana:[redacted]@db/churn\n"
    out, err = capfd.readouterr()
    assert out == "to stdout\n"
    assert err == f"{'x' * 20000}\n☃ connecting to postgres://ana:hunter2@db/churn\n"


def test_a_secret_on_the_edge_of_the_tail_is_not_cut_open() -> None:
    result = python(
        "import sys\nsys.stderr.write('--password=hunter2' + 'y' * 4089)\nraise SystemExit(1)\n"
    )
    assert result.stderr_tail == "--password=[redacted]"


def test_bytes_of_stderr_pass_unchanged(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    python("import os\nos.write(2, bytes(range(256)))\n")
    assert capfdbinary.readouterr().err == bytes(range(256))


def test_a_killed_script() -> None:
    Path("in.txt").write_text("x")
    result = python(
        "import os, signal\n"
        "open('in.txt').read(); open('out.txt', 'w').write('x')\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert result.exit_code == 128 + signal.SIGKILL
    assert names(result.files_read) == ["in.txt"]
    assert names(result.files_written) == ["out.txt"]
    assert result.stderr_tail == ""


def test_times_and_the_redacted_command() -> None:
    result = python("import time\ntime.sleep(0.2)\n", "--api-key", "hunter2")
    assert result.command == (sys.executable, "script.py", "--api-key", "[redacted]")
    assert 0.2 <= result.duration_s < 20
    assert (result.ended_at - result.started_at).total_seconds() == pytest.approx(
        result.duration_s, abs=1e-6
    )


def test_a_background_process_does_not_hold_us() -> None:
    result = run_command(["sh", "-c", "sleep 30 & echo started >&2; exit 4"])
    assert result.exit_code == 4
    assert result.duration_s < 2
    assert result.stderr_tail == "started\n"
    reason = "a process that the command left in the background still writes to it"
    assert Missing(field="stderr", reason=reason) in result.missing
