"""Installed distributions: what counts, where each came from, which were edited."""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import json
import os
import sys
from pathlib import Path

import pytest

from provgraph.capture.packages import Distribution, installed, normal_name
from provgraph.capture.patched import mark_patched
from provgraph.errors import CaptureError
from provgraph.records import Package

HOUR_NS = 3_600_000_000_000


def dist_info(site: Path, name: str, version: str, direct_url: object = None) -> Path:
    folder = site / f"{name.replace('-', '_')}-{version}.dist-info"
    folder.mkdir(parents=True)
    header = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nSummary: x\n\nVersion: no\n"
    (folder / "METADATA").write_text(header)
    if direct_url is not None:
        (folder / "direct_url.json").write_text(json.dumps(direct_url))
    return folder


def packages(*search_path: Path) -> list[Package]:
    return [each.package for each in installed(map(str, search_path))]


def test_the_same_distributions_as_importlib_metadata() -> None:
    found = {each.package.name: each.package.version for each in installed(sys.path)}
    expected: dict[str, str] = {}
    seen: set[str] = set()
    for each in importlib.metadata.distributions():
        if normal_name(each.metadata["Name"]) not in seen:
            seen.add(normal_name(each.metadata["Name"]))
            expected[each.metadata["Name"]] = each.version
    assert found == expected


def test_first_on_the_search_path_counts(tmp_path: Path) -> None:
    dist_info(tmp_path / "a", "Scikit_Learn", "1.0")
    dist_info(tmp_path / "b", "scikit-learn", "2.0")
    dist_info(tmp_path / "b", "aiohttp", "3.9")
    assert packages(tmp_path / "a", tmp_path / "b") == [
        Package(name="aiohttp", version="3.9"),
        Package(name="Scikit_Learn", version="1.0"),
    ]


@pytest.mark.parametrize(
    ("direct_url", "origin", "origin_url"),
    [
        ({"url": "file:///home/me/my%20project", "dir_info": {"editable": True}},
         "editable", "/home/me/my project"),
        ({"url": "file:///home/me/project", "dir_info": {}}, "file", "/home/me/project"),
        ({"url": "https://example.org/w.whl?token=abc", "archive_info": {}},
         "file", "https://example.org/w.whl"),
        ({"url": "https://me:hunter2@example.org/a/b.git",
          "vcs_info": {"vcs": "git", "commit_id": "c0ffee", "requested_revision": "main"}},
         "vcs", "git+https://example.org/a/b.git@c0ffee"),
        ({"nothing": "readable"}, "file", None),
        (["not", "an", "object"], "file", None),
    ],
)  # fmt: skip
def test_origin(tmp_path: Path, direct_url: object, origin: str, origin_url: str | None) -> None:
    dist_info(tmp_path, "thing", "1.0", direct_url)
    expected = Package(name="thing", version="1.0", origin=origin, origin_url=origin_url)
    assert packages(tmp_path) == [expected]


def test_broken_json_is_a_file_of_unknown_place(tmp_path: Path) -> None:
    (dist_info(tmp_path, "thing", "1.0") / "direct_url.json").write_bytes(b"\xff{")
    assert packages(tmp_path) == [Package(name="thing", version="1.0", origin="file")]


def test_older_layouts(tmp_path: Path) -> None:
    site = tmp_path / "site-packages"
    folder = site / "old-1.0.egg-info"
    folder.mkdir(parents=True)
    (folder / "PKG-INFO").write_text("Name: old\nVersion: 1.0\n")
    (site / "older-0.1.egg-info").write_text("Name: older\nVersion: 0.1\n")
    tree = tmp_path / "src"
    (tree / "linked_one.egg-info").mkdir(parents=True)
    (tree / "linked_one.egg-info" / "PKG-INFO").write_text("Name: linked-one\nVersion: 3\n")
    (site / "linked-one.egg-link").write_text(f"{tree}\n.")
    assert packages(site) == [
        Package(name="linked-one", version="3", origin="editable", origin_url=str(tree)),
        Package(name="old", version="1.0"),
        Package(name="older", version="0.1"),
    ]
    assert packages(tree) == [
        Package(name="linked-one", version="3", origin="editable", origin_url=str(tree))
    ]


def test_leftovers_and_what_is_no_folder_do_not_count(tmp_path: Path) -> None:
    (tmp_path / "gone-1.0.dist-info").mkdir()
    dist_info(tmp_path, "~umpy", "1.0")
    (tmp_path / "nameless-1.0.dist-info").mkdir()
    (tmp_path / "nameless-1.0.dist-info" / "METADATA").write_text("Version: 1.0\n")
    (tmp_path / "dangling.egg-link").write_text("")
    archive = tmp_path / "python311.zip"
    archive.write_bytes(b"PK")
    assert packages(tmp_path, archive, tmp_path / "missing") == []


# ---- patched -----------------------------------------------------------------------------------------
def installed_module(site: Path, text: bytes = b"ANSWER = 42\n") -> tuple[Distribution, Path]:
    """Install a one-module distribution as a wheel installer does, RECORD last."""
    module = site / "thing" / "core.py"
    module.parent.mkdir(parents=True)
    module.write_bytes(text)
    hash_text = base64.urlsafe_b64encode(hashlib.sha256(text).digest()).rstrip(b"=").decode()
    folder = dist_info(site, "a-thing", "1.0")
    (folder / "RECORD").write_text(f"thing/core.py,sha256={hash_text},{len(text)}\nx/RECORD,,\n")
    (found,) = installed([str(site)])
    return found, module


def origins(found: Distribution, *files: Path) -> list[str]:
    return [each.origin for each in mark_patched([found], map(str, files))]


def age(path: Path, by_ns: int) -> None:
    """Set the time of a file relative to that of the RECORD beside it."""
    record = next(path.parents[1].glob("*.dist-info/RECORD")).stat().st_mtime_ns
    os.utime(path, ns=(record + by_ns, record + by_ns))


def test_untouched_is_not_patched(tmp_path: Path) -> None:
    found, module = installed_module(tmp_path)
    assert origins(found, module) == ["index"]


def test_another_size_is_patched_whatever_its_time(tmp_path: Path) -> None:
    found, module = installed_module(tmp_path)
    module.write_bytes(b"ANSWER = 4242\n")
    age(module, -HOUR_NS)
    assert origins(found, module) == ["patched"]


def test_an_edit_of_the_same_size_is_patched(tmp_path: Path) -> None:
    found, module = installed_module(tmp_path)
    module.write_bytes(b"ANSWER = 43\n")
    age(module, HOUR_NS)
    assert origins(found, module) == ["patched"]


def test_only_touched_is_not_patched(tmp_path: Path) -> None:
    found, module = installed_module(tmp_path)
    age(module, HOUR_NS)
    assert origins(found, module) == ["index"]


def test_what_is_not_loaded_is_not_looked_at(tmp_path: Path) -> None:
    found, module = installed_module(tmp_path)
    module.write_bytes(b"ANSWER = 4242\n")
    assert origins(found) == ["index"]
    assert origins(found, tmp_path / "thing" / "other.py") == ["index"]


def test_without_record_nothing_is_said(tmp_path: Path) -> None:
    found, module = installed_module(tmp_path)
    (tmp_path / "a_thing-1.0.dist-info" / "RECORD").unlink()
    module.write_bytes(b"ANSWER = 4242\n")
    assert origins(found, module) == ["index"]


def test_a_copied_environment_is_said_to_be_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, module = installed_module(tmp_path)
    age(module, HOUR_NS)
    monkeypatch.setattr("provgraph.capture.patched.MAX_HASHED_BYTES", 5)
    with pytest.raises(CaptureError, match="too many installed files are younger"):
        origins(found, module)
