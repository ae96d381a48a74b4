"""`provgraph doctor`: what is well, and each fault with what to do."""

import os
import shutil
import sqlite3
import time
from datetime import UTC, datetime

import pytest
from small_history import record_history

import provgraph
from provgraph.access.store import AccessStore
from provgraph.cli.main import main
from provgraph.index import worker
from provgraph.service import doctor
from provgraph.service.doctor import examine
from provgraph.service.home import close_ledger


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    folder = tmp_path_factory.mktemp("doctor") / "home"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PROVGRAPH_HOME", str(folder))
        record_history()
        close_ledger()
        assert main(["list", "models"]) == 0
    close_ledger()
    return folder


@pytest.fixture
def told(recorded, home):
    shutil.copytree(recorded, home)
    return home


def found(**environ):
    given = {name: value for name, value in os.environ.items() if name.startswith("PROVGRAPH_")}
    return {each.subject: each for each in examine({**given, **environ})}


def levels(findings):
    # The machine's own clock, disk and extras are as they are.
    own = {"clock", "disk", "extras"}
    return {name: each.level for name, each in findings.items() if name not in own}


def test_a_home_that_is_well(told, capsys):
    assert set(levels(found()).values()) == {"ok"}
    code = main(["doctor"])
    out = capsys.readouterr().out
    assert (code, "ok   ledger    " in out, "ok   sandbox " in out) == (0, True, True)


def test_a_home_that_is_not_there_yet(home):
    assert levels(found()) == {
        "settings": "ok",
        "home": "warn",
        "keys": "ok",
        "ledger": "ok",
        "index": "ok",
        "sandbox": "ok",
        "access": "ok",
    }
    assert home.exists() is False


def test_settings_that_mean_nothing(home):
    assert found(PROVGRAPH_QUERY_TIMEOUT="5")["settings"].level == "warn"
    (only,) = examine({"PROVGRAPH_HOME": str(home), "PROVGRAPH_QUERY_TIMEOUT_S": "soon"})
    assert (only.subject, only.level) == ("settings", "fail")


def test_a_home_that_others_may_write_to(told, capsys):
    told.chmod(0o777)
    assert found()["home"].level == "fail"
    assert main(["doctor"]) == 1
    assert "chmod 700" in capsys.readouterr().out
    told.chmod(0o755)
    assert found()["home"].level == "ok"
    (told / "ledger.db").chmod(0o644)
    assert found()["home"].level == "warn"
    told.chmod(0o700)
    assert found()["home"].level == "ok"


def test_the_index_is_private(told):
    assert ((told / "index").stat().st_mode & 0o777) == 0o700


def test_a_key_that_others_may_read(told):
    (told / "keys" / "producer.pem").chmod(0o644)
    assert found()["keys"].level == "fail"


def test_a_log_key_that_is_gone(told):
    (told / "keys" / "log.pem").unlink()
    finding = found()["keys"]
    assert (finding.level, "no log key" in finding.text) == ("fail", True)


def test_a_ledger_with_a_broken_page(told):
    path = told / "ledger.db"
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 3000] = b"\xff" * 3000
    path.write_bytes(data)
    assert found()["ledger"].level == "fail"


def test_a_ledger_that_is_older_than_its_index(told, tmp_path):
    older = tmp_path / "older.db"
    with sqlite3.connect(told / "ledger.db") as source, sqlite3.connect(older) as copy:
        source.backup(copy)
    with provgraph.run("later"):
        pass
    close_ledger()
    assert main(["list", "runs"]) == 0
    close_ledger()
    for name in ("ledger.db", "ledger.db-wal", "ledger.db-shm"):
        (told / name).unlink(missing_ok=True)
    shutil.copy(older, told / "ledger.db")
    finding = found()["index"]
    assert (finding.level, "older copy" in finding.text) == ("fail", True)


def test_a_clock_that_went_back(told):
    later_s = time.time() + 10_000
    os.utime(told / "ledger.db", (later_s, later_s))
    assert found()["clock"].level == "fail"


def test_tokens_that_are_all_over(told):
    store = AccessStore(told / "access.db", clock=lambda: datetime.now(UTC))
    token, _ = store.create_token(owner="ada", roles=["reader"])
    valid = found()["access"]
    store.revoke_token(token.id)
    store.close()
    assert (valid.level, valid.text) == ("ok", "1 valid tokens")
    assert found()["access"].level == "warn"


def test_a_sandbox_with_open_doors(home, tmp_path, monkeypatch):
    source = (tmp_path / "worker.py").absolute()
    source.write_text("def close_doors(**_): pass\n")
    monkeypatch.setattr(worker, "__file__", str(source))
    assert found()["sandbox"].level == "warn"
    source.write_text("def close_doors(**_): raise OSError('no seccomp here')\n")
    finding = found()["sandbox"]
    assert (finding.level, "no seccomp here" in finding.text) == ("fail", True)


def test_an_extra_that_is_missing(home, monkeypatch):
    monkeypatch.setattr(doctor, "_EXTRAS", {"server": (("no_such_module",), "provgraph serve")})
    finding = found()["extras"]
    assert (finding.level, "pip install 'provgraph[server]'" in finding.text) == ("warn", True)
