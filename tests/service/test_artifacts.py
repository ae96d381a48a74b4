"""`provgraph verify --artifacts`: recorded files hashed again; a place in a record comes from anybody."""

from __future__ import annotations

import json
import os
from pathlib import Path
from urllib.parse import quote

import pytest

import provgraph
from provgraph import vocab
from provgraph.cli.main import main
from provgraph.digests import Digest, digest_path, sha256_bytes
from provgraph.query.places import Checked, Place, check_places, local_path
from provgraph.service.home import readable_ledger
from provgraph.settings import load

GIVEN = sha256_bytes(b"given")


def look(location: str, digest: Digest = GIVEN) -> Checked:
    (checked,) = check_places(
        [Place(digest=digest, location=location)], progress=lambda _done, _total: None
    )
    return checked


def state(location: str, digest: Digest = GIVEN) -> str:
    return look(location, digest).state


def at(path: Path) -> str:
    return f"file://{quote(os.fsencode(path))}"


def test_the_states_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "größe 1.csv"
    file.write_bytes(b"given")
    assert state(at(file)) == "same"
    file.write_bytes(b"taken")
    changed = look(at(file))
    assert (changed.state, changed.found) == ("changed", sha256_bytes(b"taken"))
    file.chmod(0)
    assert state(at(file)) in {"unreadable", "changed"}  # root reads it all the same
    file.unlink()
    assert state(at(file)) == "gone"


def test_a_folder_and_a_link_to_it(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "below").mkdir(parents=True)
    (folder / "below" / "x").write_text("x")
    digest = digest_path(folder).digest
    (tmp_path / "link").symlink_to(folder)
    assert state(at(folder), digest) == "same"
    assert state(at(tmp_path / "link"), digest) == "same"
    (folder / "y").write_text("y")
    assert state(at(folder), digest) == "changed"


def test_bytes_that_were_recorded_there_later_are_no_change(tmp_path: Path) -> None:
    file = tmp_path / "model.bin"
    file.write_bytes(b"two")
    places = [Place(digest=sha256_bytes(each), location=at(file)) for each in (b"one", b"two")]
    found = check_places(places, progress=lambda _done, _total: None)
    assert [each.state for each in found] == ["replaced", "same"]


@pytest.mark.parametrize(
    "location",
    [
        "https://example.org/data.csv",
        "s3://bucket/data.csv",
        "file://server/share/data.csv",
        "file://///server/share/data.csv",
        "file:////server/share",
        "file:relative",
        "file:///a%00b",
        "FILE://other.example/etc/passwd",
    ],
)
def test_other_machines_are_never_asked(location: str) -> None:
    assert local_path(location) is None
    assert state(location) == "not local"


@pytest.mark.parametrize(
    ("location", "path"),
    [
        ("file:///a/b%20c", b"/a/b c"),
        ("file://localhost/a", b"/a"),
        ("file:/a", b"/a"),
        ("file:///a%FF", b"/a\xff"),
    ],
)
def test_local_places(location: str, path: bytes) -> None:
    assert local_path(location) == path


@pytest.mark.parametrize(
    ("digest", "expected"),
    [(Digest("weak-md5", "ab" * 16), "weak digest"), (Digest("table-v1", "ab" * 32), "not a file")],
)
def test_digests_that_are_not_of_files_are_not_checked(digest: Digest, expected: str) -> None:
    assert state("file:///etc/hostname", digest) == expected


@pytest.mark.parametrize(
    "place", ["/dev/zero", "/dev/stdin", "/proc/kcore", "/proc/self/mem", "/sys/kernel", "/dev"]
)
def test_what_the_kernel_makes_up_is_never_opened(place: str, tmp_path: Path) -> None:
    if not os.path.lexists(place):
        pytest.skip(f"no {place} here")
    link = tmp_path / "innocent.csv"
    link.symlink_to(place)
    for location in (f"file://{place}", at(link), f"file:///tmp/..{place}"):
        assert state(location) == "unreadable"


def test_a_folder_with_a_link_to_something_endless_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "x").symlink_to("/proc/self/mounts")
    assert state(at(tmp_path), Digest("folder-v1", "ab" * 32)) == "unreadable"


def test_a_pipe_holds_nobody_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert look(at(tmp_path / "pipe")).reason == "not read: neither a regular file nor a folder"


def test_a_file_that_grows_while_it_is_read_is_given_up(tmp_path: Path) -> None:
    file = tmp_path / "log"
    file.write_bytes(b"x" * 3_000_000)

    def grow(_done: int, _total: int) -> None:
        with file.open("ab") as more:
            more.write(b"x" * 2_000_000)

    (checked,) = check_places([Place(digest=GIVEN, location=at(file))], progress=grow)
    assert checked.state == "unreadable"


def test_the_result_is_recorded_shown_and_sealed(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("same", "changed", "gone"):
        (tmp_path / name).write_text(name)
    with provgraph.run("train", owner="ada@example.org") as run:
        for name in ("same", "changed", "gone"):
            run.use(tmp_path / name)
        run.use("s3://bucket/far", digest=str(GIVEN))
    (tmp_path / "changed").write_text("other")
    (tmp_path / "gone").unlink()
    file = tmp_path / "report.json"
    assert main(["verify", "--artifacts", "--report", str(file)]) == 1
    said = capsys.readouterr().err
    assert f"{at(tmp_path / 'changed')} was recorded as {sha256_bytes(b'changed')}" in said
    assert f"is {sha256_bytes(b'other')} now" in said
    part = json.loads(file.read_text())["artifacts"]
    assert part["counts"] == {"changed": 1, "gone": 1, "not local": 1, "same": 1}
    with readable_ledger(load()) as ledger:
        index = ledger.find(part["record"])
        assert index == ledger.size() - 1
        graph = ledger.graph(index).decode()
        (digest,) = ledger.attachments(part["record"])
        assert json.loads(ledger.attachment(digest)) == part["places"]
        assert f"{vocab.P['ledgerSize']} " + f'"{index}"' in graph
        assert f'{vocab.P["foundDigest"]} "{sha256_bytes(b"other")}"' in graph
    iri = vocab.activity_iri("verification", part["record"].rsplit("/", 1)[-1])
    assert main(["show", iri]) == 0
    shown = capsys.readouterr().out
    for text in ("verification", "state changed", "state gone", "count 1", "ledgerSize"):
        assert text in shown
    # The record itself is an entry like any other.
    assert main(["verify", "--deep"]) == 0


def test_artifacts_are_checked_for_this_home_only(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with provgraph.run("train", owner="ada@example.org"):
        pass
    other = tmp_path / "copy.db"
    other.write_bytes((home / "ledger.db").read_bytes())
    assert main(["verify", str(other), "--artifacts"]) == 2
    assert "--artifacts records its result into the ledger of this home" in capsys.readouterr().err
