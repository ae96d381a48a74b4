"""The code's structure: the same where only layout, comments and docstrings changed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from readback import facts_of

from provgraph.capture.code import MAX_FILE_BYTES, ast_digest, probe_code
from provgraph.capture.sinks import Receipt
from provgraph.digests import Digest
from provgraph.service.home import writable_ledger
from provgraph.settings import load

CHECKOUT = Path(__file__).resolve().parents[2]
CODE = b'"""Doc."""\nX = 1\n\n\ndef f(a):\n    """Doc."""\n    return a + X  # comment\n'


@pytest.mark.parametrize(
    "same",
    [
        b"X = 1\ndef f(a): return a + X\n",
        b"X = (1)\n\n\n\ndef f( a ):\n  # other\n  return (a+X)\n",
        CODE.replace(b"Doc", b"Another text"),
        CODE.replace(b"\n", b"\r\n"),
        b"\xef\xbb\xbf" + CODE,
    ],
    ids=["bare", "layout", "docstrings", "line-ends", "byte-order-mark"],
)
def test_layout_comments_and_docstrings_do_not_count(same):
    assert ast_digest(same) == ast_digest(CODE)


@pytest.mark.parametrize(
    "other",
    [
        CODE.replace(b"X = 1", b"X = 2"),
        CODE.replace(b"a + X", b"X + a"),
        CODE.replace(b"def f(a)", b"def f(a=1)"),
        CODE + b"f(1)\n",
        CODE.replace(b"X = 1", b"X = 1.0"),
    ],
    ids=["constant", "order", "default", "call", "type"],
)
def test_code_counts(other):
    assert ast_digest(other) != ast_digest(CODE)


def project(folder: Path, *, helper: str = "SCALE = 2") -> Path:
    (folder / "helpers").mkdir(exist_ok=True)
    (folder / "helpers" / "scaling.py").write_text(helper + "\n", "utf-8")
    (folder / "unused.py").write_text("X = 1\n", "utf-8")
    script = folder / "train.py"
    script.write_text(
        textwrap.dedent(
            """
            import provgraph
            from helpers import scaling
            with provgraph.run("train") as run:
                pass
            print(run.receipt.record, run.receipt.position, run.receipt.ledger_size)
            """
        ),
        "utf-8",
    )
    return script


def recorded(script: Path) -> tuple[str, dict]:
    done = subprocess.run(
        [sys.executable, script],
        env={**os.environ, "PYTHONPATH": str(CHECKOUT), "PROVGRAPH_STRICT": "on"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    record, position, size = done.stdout.split()
    facts = facts_of(Receipt(record=record, position=int(position), ledger_size=int(size)))
    digest = Digest.parse(facts.one(facts.run, "astDigest"))
    with writable_ledger(load(os.environ)) as ledger:
        return str(digest), json.loads(ledger.attachment(digest))


@pytest.mark.usefixtures("home")
def test_a_run_records_its_script_and_the_modules_it_loaded(tmp_path):
    digest, content = recorded(project(tmp_path))
    assert sorted(content["files"]) == ["helpers/scaling.py", "train.py"]
    assert content["files"]["train.py"] == ast_digest((tmp_path / "train.py").read_bytes())
    same, _ = recorded(project(tmp_path, helper="SCALE = 2  # a comment"))
    other, _ = recorded(project(tmp_path, helper="SCALE = 3"))
    assert same == digest
    assert other != digest


def module_of(path: Path, name: str = "__main__"):
    module = type(sys)(name)
    module.__file__ = str(path)
    return {name: module}


def test_what_cannot_be_parsed_is_said(tmp_path):
    script = tmp_path / "train.py"
    script.write_text("X = 1\n")
    for name, text in (("broken.py", "def"), ("big.py", "#" * (MAX_FILE_BYTES + 1))):
        (tmp_path / name).write_text(text)
    modules = {
        **module_of(script),
        **module_of(tmp_path / "broken.py", "broken"),
        **module_of(tmp_path / "big.py", "big"),
        **module_of(tmp_path / "gone.py", "gone"),
    }
    code = probe_code(began_at_s=2e10, modules=modules)
    assert list(json.loads(code.content)["files"]) == ["train.py"]
    assert [reason.partition(":")[0] for reason in code.left_out] == [
        "big.py",
        "broken.py",
        "gone.py",
    ]


def test_a_file_that_changed_after_the_run_began_is_said(tmp_path):
    script = tmp_path / "train.py"
    script.write_text("X = 1\n")
    code = probe_code(began_at_s=0.0, modules=module_of(script))
    assert code.left_out == ("train.py was changed after the run began",)


def test_installed_packages_are_not_the_project(tmp_path):
    script = tmp_path / "train.py"
    script.write_text("X = 1\n")
    package = tmp_path / "lib" / "site-packages" / "pack.py"
    package.parent.mkdir(parents=True)
    package.write_text("Y = 1\n")
    code = probe_code(began_at_s=2e10, modules={**module_of(script), **module_of(package, "pack")})
    assert list(json.loads(code.content)["files"]) == ["train.py"]


def test_a_project_that_takes_too_long_has_no_digest_rather_than_half_of_one(tmp_path):
    script = tmp_path / "train.py"
    script.write_text("X = 1\n")
    clock = iter([0.0, 0.0, 5.0])
    (tmp_path / "other.py").write_text("Y = 1\n")
    code = probe_code(
        began_at_s=2e10,
        modules={**module_of(script), **module_of(tmp_path / "other.py", "other")},
        monotonic=lambda: next(clock),
    )
    assert (code.content, code.left_out) == (
        None,
        ("its 2 files are too many to be read when a run ends",),
    )


def test_a_prompt_has_no_code_in_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert probe_code(began_at_s=0.0, modules={"__main__": type(sys)("__main__")}) is None


def test_modules_that_came_since_and_files_that_changed_since_are_seen(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    now = 0.0

    def clock():
        return now

    script, helper = tmp_path / "train.py", tmp_path / "helper.py"
    script.write_text("x = 1\n", "utf-8")
    helper.write_text("y = 2\n", "utf-8")
    first_modules = module_of(script)
    first = probe_code(began_at_s=2e10, modules=first_modules, monotonic=clock)
    more = {**first_modules, **module_of(helper, "helper")}
    second = probe_code(began_at_s=2e10, modules=more, monotonic=clock)
    assert (b"helper.py" in first.content, b"helper.py" in second.content) == (False, True)
    helper.write_text("y = 3000\n", "utf-8")
    # Within a second what was loaded counts; then the file is looked at again.
    assert probe_code(began_at_s=2e10, modules=more, monotonic=clock) == second
    now = 1.5
    third = probe_code(began_at_s=2e10, modules=more, monotonic=clock)
    assert third.content != second.content
