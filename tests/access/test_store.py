"""Tokens and memberships: shown once, stored as hashes, ended by time or by hand."""

import sqlite3
import stat
from datetime import UTC, datetime, timedelta

import pytest

from provgraph.access.store import AccessStore
from provgraph.errors import NotFoundError, StorageError, UntrustedError, UsageError


class Clock:
    def __init__(self):
        self.now = datetime(2026, 3, 1, 12, tzinfo=UTC)

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def store(tmp_path, clock):
    store = AccessStore(tmp_path / "home" / "access.db", clock=clock)
    yield store
    store.close()


def test_a_token_stands_for_its_owner(store):
    token, secret = store.create_token(owner="ada", roles=["reader", "ingest"], projects=["churn"])
    caller = store.caller(secret)
    assert (caller.name, caller.by, caller.roles, caller.projects) == (
        "ada",
        f"token {token.id}",
        {"reader", "ingest"},
        {"churn"},
    )


def test_the_secret_is_nowhere_in_the_file(store, tmp_path):
    _, secret = store.create_token(owner="ada", roles=["reader"])
    path = tmp_path / "home" / "access.db"
    assert secret.encode() not in path.read_bytes()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "secret", ["", "pgt_", "pgt_" + "A" * 43, "' OR 1=1 --", "pgt_é" + "A" * 42]
)
def test_an_unknown_token_is_refused(store, secret):
    store.create_token(owner="ada", roles=["reader"])
    with pytest.raises(UntrustedError, match="not known here"):
        store.caller(secret)


def test_a_token_expires(store, clock):
    _, secret = store.create_token(owner="ada", roles=["reader"], lifetime=timedelta(days=1))
    clock.now += timedelta(hours=23, minutes=59)
    assert store.caller(secret).name == "ada"
    clock.now += timedelta(minutes=1)
    with pytest.raises(UntrustedError, match="is expired"):
        store.caller(secret)


def test_a_revoked_token_is_refused_and_stays_listed(store, clock):
    token, secret = store.create_token(owner="ada", roles=["reader"])
    assert store.revoke_token(token.id).state(clock.now) == "revoked"
    with pytest.raises(UntrustedError, match="is revoked"):
        store.caller(secret)
    assert [(each.id, each.state(clock.now)) for each in store.tokens()] == [(token.id, "revoked")]
    with pytest.raises(NotFoundError, match="no token 'nope'"):
        store.revoke_token("nope")


def test_last_use_is_kept(store, clock):
    _token, secret = store.create_token(owner="ada", roles=["reader"])
    store.caller(secret)
    assert [each.last_used for each in store.tokens()] == ["2026-03-01T12:00:00Z"]


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"owner": "ada", "roles": ["king"]}, "found king"),
        ({"owner": "ada", "roles": []}, "found none"),
        ({"owner": " ", "roles": ["reader"]}, "belongs to somebody"),
        ({"owner": "a", "roles": ["reader"], "lifetime": timedelta(0)}, "expired already"),
    ],
)
def test_a_token_that_makes_no_sense_is_refused(store, facts, reason):
    with pytest.raises(UsageError, match=reason):
        store.create_token(**facts)
    assert store.tokens() == []


def test_projects_and_members(store):
    store.set_private("secret", is_private=True)
    store.set_member("secret", "ada", belongs=True)
    _, secret = store.create_token(owner="ada", roles=["reader"])
    assert (store.private_projects(), store.members("secret")) == ({"secret"}, ["ada"])
    assert store.caller(secret).member_of == {"secret"}
    store.set_member("secret", "ada", belongs=False)
    store.set_private("secret", is_private=False)
    assert (store.private_projects(), store.caller(secret).member_of) == (frozenset(), frozenset())


def test_two_processes_see_each_others_changes(store, tmp_path, clock):
    other = AccessStore(tmp_path / "home" / "access.db", clock=clock)
    before = other.version
    _, secret = store.create_token(owner="ada", roles=["reader"])
    assert (other.version == before, other.caller(secret).name) == (False, "ada")
    other.close()


@pytest.mark.parametrize("is_other", [False, True])
def test_what_is_known_of_a_token_ends_with_the_change(store, tmp_path, clock, is_other):
    token, secret = store.create_token(owner="ada", roles=["reader"])
    assert store.caller(secret).member_of == set()
    other = AccessStore(tmp_path / "home" / "access.db", clock=clock)
    changer = other if is_other else store
    changer.set_member("churn", "ada", belongs=True)
    assert store.caller(secret).member_of == {"churn"}
    changer.set_member("churn", "ada", belongs=False)
    assert store.caller(secret).member_of == set()
    changer.revoke_token(token.id)
    with pytest.raises(UntrustedError, match="is revoked"):
        store.caller(secret)
    other.close()


def test_a_file_of_something_else_is_left_alone(tmp_path, clock):
    path = tmp_path / "access.db"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE mine (x)")
    db.close()
    with pytest.raises(StorageError, match="no access file"):
        AccessStore(path, clock=clock)
    path.write_bytes(b"no database at all, and long enough to be seen as one" * 100)
    with pytest.raises(StorageError, match="cannot use"):
        AccessStore(path, clock=clock)
