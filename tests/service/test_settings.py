"""Settings are read for every run; what is remembered between runs never hides a change."""

from __future__ import annotations

from pathlib import Path

import pytest

from provgraph.errors import UsageError
from provgraph.settings import load


def test_a_changed_variable_is_seen(tmp_path: Path) -> None:
    environ = {"PROVGRAPH_HOME": str(tmp_path), "PROVGRAPH_OWNER": "ada"}
    assert load(environ).owner == "ada"
    assert load({**environ, "PROVGRAPH_OWNER": "grace"}).owner == "grace"
    assert load({"PROVGRAPH_HOME": str(tmp_path)}).owner == ""


def test_a_config_that_comes_changes_and_goes_is_seen(tmp_path: Path) -> None:
    environ, config = {"PROVGRAPH_HOME": str(tmp_path)}, tmp_path / "config.toml"
    assert load(environ).owner == ""
    for name in ("ada", "eve"):
        config.write_text(f'owner = "{name}"\n', "utf-8")
        assert load(environ).owner == name
    config.unlink()
    assert load(environ).owner == ""


def test_a_variable_counts_before_the_config(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('owner = "ada"\n', "utf-8")
    environ = {"PROVGRAPH_HOME": str(tmp_path), "PROVGRAPH_OWNER": "grace"}
    assert load(environ).owner == "grace"


def test_a_relative_home_follows_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        assert load({"PROVGRAPH_HOME": "home"}).home == tmp_path / name / "home"


def test_the_default_home_follows_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("one", "two"):
        monkeypatch.setenv("HOME", str(tmp_path / name))
        assert load({}).home == tmp_path / name / ".provgraph"


def test_a_wrong_value_is_refused_every_time(tmp_path: Path) -> None:
    environ = {"PROVGRAPH_HOME": str(tmp_path), "PROVGRAPH_ENABLED": "maybe"}
    for _ in range(2):
        with pytest.raises(UsageError, match=r"setting enabled: expected one of on\|off"):
            load(environ)
    (tmp_path / "config.toml").write_text("nothing = 1\n", "utf-8")
    with pytest.raises(UsageError, match="unknown setting 'nothing'"):
        load({"PROVGRAPH_HOME": str(tmp_path)})
