"""How the process was started: script, user, folder, seeds; in this process and in real others."""

from __future__ import annotations

import hashlib
import json
import os
import pwd
import random
import subprocess
import sys
import types
import zipfile
from pathlib import Path

import numpy as np
import pytest

from provgraph.capture.invocation import probe_invocation
from provgraph.capture.remote_url import without_credentials
from provgraph.capture.seeds import probe_seeds
from provgraph.digests import Digest, sha256_bytes
from provgraph.records import Invocation, Missing

ROOT = Path(__file__).parents[2]

PRINT_ENTRY = f"""
import json, sys, pathlib
sys.path.insert(0, {str(ROOT)!r})
from provgraph.capture.invocation import probe_invocation
found = probe_invocation({{}}, sys.argv, root=pathlib.Path("/nowhere"))
print(json.dumps([found.entry_script, str(found.entry_script_digest),
                  [each.reason for each in found.missing]]))
"""


def started(*command: str, text: str | None = None) -> list[object]:
    """Start Python with the command; return entry script, its digest, and what is missing."""
    done = subprocess.run(
        [sys.executable, *command], input=text, capture_output=True, text=True, check=True
    )
    found: list[object] = json.loads(done.stdout)
    return found


def test_a_script(tmp_path: Path) -> None:
    script = tmp_path / "train it.py"
    script.write_text(PRINT_ENTRY)
    assert started(str(script)) == [str(script), str(sha256_bytes(script.read_bytes())), []]


def test_a_folder_and_a_zip_application(tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    main = tmp_path / "app" / "__main__.py"
    main.write_text(PRINT_ENTRY)
    assert started(str(main.parent)) == [str(main), str(sha256_bytes(main.read_bytes())), []]
    archive = tmp_path / "app.pyz"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("__main__.py", PRINT_ENTRY)
    expected = [str(archive), str(sha256_bytes(archive.read_bytes())), []]
    assert started(str(archive)) == expected


def test_code_that_is_in_no_file() -> None:
    reason = "the code was given on the command line, with -c"
    assert started("-c", PRINT_ENTRY) == [None, "None", [reason]]
    reason = "the code came from a prompt or standard input"
    assert started("-", text=PRINT_ENTRY) == [None, "None", [reason]]


@pytest.mark.parametrize(
    "options", [("-c",), ("-I", "-c"), ("-Ic",), ("-X", "dev", "-W", "error", "-c")], ids=" ".join
)
def test_code_on_the_command_line_in_the_words_that_started_python(options: list[str]) -> None:
    code = PRINT_ENTRY.replace("sys.argv", "sys.orig_argv")
    assert code != PRINT_ENTRY
    reason = "the code was given on the command line, with -c"
    assert started(*options, code) == [None, "None", [reason]]


@pytest.mark.parametrize(
    "kernel",
    [
        ["/venv/lib/ipykernel_launcher.py", "-f", "kernel.json"],
        ["/venv/bin/python3", "-m", "ipykernel_launcher", "-f", "kernel.json"],
        ["python", "-Xfrozen_modules=off", "-m", "ipykernel_launcher", "-f", "kernel.json"],
        ["/usr/bin/python3.12", "-X", "dev", "/opt/colab_kernel_launcher.py", "-f", "k.json"],
    ],
    ids=["script", "module", "option", "colab"],
)
def test_a_notebook(kernel: list[str]) -> None:
    cells = types.ModuleType("__main__")
    unnamed = probe_invocation({}, kernel, main=cells, root=Path("/nowhere"))
    assert unnamed.entry_script is None
    assert unnamed.missing == (
        Missing(
            field="entry_script",
            reason="a notebook, whose kernel does not say which; name it as the plan",
        ),
    )
    named = probe_invocation(
        {"JPY_SESSION_NAME": "/home/ana/churn.ipynb"}, kernel, main=cells, root=Path("/nowhere")
    )
    assert named.entry_script == "/home/ana/churn.ipynb"
    assert named.entry_script_digest is None
    assert named.missing == (
        Missing(
            field="entry_script_digest",
            reason="the cells of a notebook may run in any order, edited or not saved",
        ),
    )


def test_a_script_that_is_gone(tmp_path: Path) -> None:
    main = types.ModuleType("__main__")
    main.__file__ = str(tmp_path / "gone.py")
    found = probe_invocation({}, ["gone.py"], main=main, root=Path("/nowhere"))
    assert found.entry_script == str(tmp_path / "gone.py")
    assert found.missing == (
        Missing(field="entry_script_digest", reason=f"no such file: {tmp_path / 'gone.py'}"),
    )


def test_everything_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    script = tmp_path / "train.py"
    script.write_bytes(b"pass\n")
    main = types.ModuleType("__main__")
    main.__file__ = str(script)
    (tmp_path / "proc/self").mkdir(parents=True)
    container_id = "ab" * 32
    (tmp_path / "proc/self/cgroup").write_text(f"0::/docker-{container_id}.scope\n")
    environ = {
        "GITLAB_CI": "true",
        "CI_JOB_URL": "https://gitlab.example/jobs/1",
        "TORCHELASTIC_RUN_ID": "r1",
        "RANK": "1",
        "WORLD_SIZE": "2",
        "OMP_NUM_THREADS": "4",
        "LOGNAME": "somebody else",
    }
    argv = ["train.py", "--api-key", "hunter2", "--lr=0.1"]
    found = probe_invocation(environ, argv, main=main, root=tmp_path)
    assert found == Invocation(
        command=("train.py", "--api-key", "[redacted]", "--lr=0.1"),
        entry_script=str(script),
        entry_script_digest=Digest("sha256", hashlib.sha256(b"pass\n").hexdigest()),
        working_folder=str(tmp_path),
        host=os.uname().nodename,
        user=pwd.getpwuid(os.getuid()).pw_name,
        process=os.getpid(),
        variables={"OMP_NUM_THREADS": "4"},
        seeds=probe_seeds(),
        ci_system="GitLab CI",
        ci_job="https://gitlab.example/jobs/1",
        cluster={"torchrun.run_id": "r1", "container.id": container_id},
        rank=1,
        world_size=2,
        missing=(Missing(field="ci_actor", reason="GitLab CI does not say who started the job"),),
    )


def test_a_working_folder_that_was_removed(tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    script = tmp_path / "train.py"
    script.write_text(f"import os\nos.rmdir(os.getcwd())\n{PRINT_ENTRY}")
    done = subprocess.run(
        [sys.executable, str(script)],
        cwd=tmp_path / "gone",
        capture_output=True,
        text=True,
        check=True,
    )
    path, digest, missing = json.loads(done.stdout)
    assert (path, digest) == (str(script), str(sha256_bytes(script.read_bytes())))
    assert missing == ["FileNotFoundError: [Errno 2] No such file or directory"]


# ---- seeds -------------------------------------------------------------------------------------------
def test_seeds_identify_the_state_of_generators() -> None:
    before = random.getstate(), np.random.get_state()
    try:
        random.seed(7)
        np.random.seed(7)
        first = probe_seeds()
        assert probe_seeds() == first, "reading a state must not change it"
        random.random()
        np.random.random()
        second = probe_seeds()
        random.seed(7)
        np.random.seed(7)
        assert probe_seeds() == first
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])
    assert first["random.state"] != second["random.state"]
    assert first["numpy.random.state"] != second["numpy.random.state"]
    # The digest is part of records, so it stays what it is.
    assert first["random.state"] == (
        "sha256:447afa010fde37d77c3f06925d2de3850ca2d234b66544657dbd8ccd59719a4d"
    )
    assert first["numpy.random.state"] == (
        "sha256:23c97ede612e19266a42d2e6584db93430c392925aacc9e0201f6a80ef9aaeba"
    )


def test_a_second_number_drawn_from_gauss_is_part_of_the_state() -> None:
    before = np.random.get_state()
    try:
        np.random.seed(7)
        np.random.standard_normal()  # legacy: draws two, keeps one
        first = probe_seeds()["numpy.random.state"]
        state = list(np.random.get_state())
        state[4] = state[4] + 1
        np.random.set_state(tuple(state))
        assert probe_seeds()["numpy.random.state"] != first
    finally:
        np.random.set_state(before)


@pytest.mark.parametrize(
    ("options", "environ", "expected"),
    [
        ([], {"PYTHONHASHSEED": "42"}, "42"),
        ([], {"PYTHONHASHSEED": "random"}, "random"),
        ([], {}, "random"),
        (["-E"], {"PYTHONHASHSEED": "42"}, "random"),
    ],
)
def test_hash_seed_and_only_what_is_loaded(
    options: list[str], environ: dict[str, str], expected: str
) -> None:
    script = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r});"
        "from provgraph.capture.seeds import probe_seeds; print(probe_seeds())"
    )
    done = subprocess.run(
        [sys.executable, *options, "-c", script],
        env=environ,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == f"{ {'PYTHONHASHSEED': expected} }\n"


def test_torch_is_asked_for_its_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = types.ModuleType("torch")
    torch.initial_seed = lambda: 1234  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch", torch)
    assert probe_seeds()["torch.seed"] == "1234"
    del torch.initial_seed
    assert "torch.seed" not in probe_seeds()


# ---- remote URLs -------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://github.com/a/b.git", "https://github.com/a/b.git"),
        ("https://x-access-token:ghs_abc@github.com/a/b.git", "https://github.com/a/b.git"),
        ("https://oauth2:p@ss@gitlab.com/a/b", "https://gitlab.com/a/b"),
        ("https://host/a/b?private_token=abc#frag", "https://host/a/b"),
        ("ssh://git@host:22/a/b", "ssh://git@host:22/a/b"),
        ("ssh://ana:hunter2@host/a/b", "ssh://host/a/b"),
        ("git@github.com:a/b.git", "git@github.com:a/b.git"),
        ("ana:hunter2@host:a/b.git", "host:a/b.git"),
        ("/srv/git/b.git", "/srv/git/b.git"),
        ("../b.git", "../b.git"),
        ("file:///srv/git/b.git", "file:///srv/git/b.git"),
        ("git+https://u:p@host/a@c0ffee", "git+https://host/a@c0ffee"),
        ("C:\\repos\\b", "C:\\repos\\b"),
    ],
)
def test_without_credentials(url: str, expected: str) -> None:
    assert without_credentials(url) == expected
