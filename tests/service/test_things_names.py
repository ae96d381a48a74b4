"""What people call things: names with colons and slashes, versions like digests, kinds, paths."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from readback import ledger

import provgraph
from provgraph import vocab
from provgraph.digests import Digest
from provgraph.errors import NotFoundError, UsageError
from provgraph.service.things import (
    Resolved,
    content_digest,
    find_names,
    is_path_like,
    model_entity,
    resolve,
)


def iri(data: bytes) -> str:
    return vocab.content_iri(Digest("sha256", hashlib.sha256(data).hexdigest()))


@pytest.fixture
def named(home: Path) -> None:
    """A home with names of all sorts; the bytes of each are its own description."""
    with provgraph.run("churn", project="p", owner="ada") as run:
        for name, version in (
            ("churn", "1"),
            ("churn", "2"),
            ("a:b", "c"),
            ("a", "b:c"),
            ("org/net", "1"),
            ("dates", "20240101"),
            ("unversioned", None),
        ):
            data = f"{name} {version}".encode()
            run.generate(data, role="model", name=name, version=version)
        run.use(b"table", name="customers", kind="dataset", version="1")
        run.use(b"both as data", name="both", kind="dataset")
        run.use(b"both as model", name="both", kind="model")
        run.use(b"x", name="model/odd", kind="file")


@pytest.mark.usefixtures("named")
@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("churn:1", b"churn 1"),
        ("churn:2", b"churn 2"),
        ("model/churn", b"churn 2"),
        ("  churn:1 ", b"churn 1"),
        ("org/net:1", b"org/net 1"),
        ("org/net", b"org/net 1"),
        ("dates:20240101", b"dates 20240101"),
        ("unversioned", b"unversioned None"),
        ("customers", b"table"),
        ("dataset/customers:1", b"table"),
        ("dataset/both", b"both as data"),
        ("model/both", b"both as model"),
        ("file/model/odd", b"x"),
        (hashlib.sha256(b"any").hexdigest(), b"any"),
        (f"sha256:{hashlib.sha256(b'any').hexdigest()}", b"any"),
    ],
)
def test_one_thing(text, data):
    with ledger() as opened:
        assert resolve(opened, text).iris == (iri(data),)


@pytest.mark.usefixtures("named")
def test_a_colon_is_part_of_the_name_before_it_parts_off_a_version():
    with ledger() as opened:
        # `a:b:c` is the model `a:b` version c, found before `a` version b:c: the longer name first.
        assert resolve(opened, "a:b:c").iris == (iri(b"a:b c"),)
        assert [row.name for row in find_names(opened, "a:b:c")] == ["a:b"]
        assert resolve(opened, "a:b").iris == (iri(b"a:b c"),)


@pytest.mark.usefixtures("named")
@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("", UsageError, "expected the name of a thing, found nothing"),
        ("   ", UsageError, "expected the name of a thing, found nothing"),
        (
            "both",
            UsageError,
            "'both' names several kinds of things; say which: dataset/both, model/",
        ),
        (
            "churn",
            UsageError,
            "'churn' names several kinds of things; say which: model/churn, run/",
        ),
        ("churn:3", NotFoundError, "nothing here is called 'churn:3'"),
        ("dataset/churn", NotFoundError, "nothing here is called 'dataset/churn'"),
        ("sha256:xyz", NotFoundError, "nothing here is called 'sha256:xyz'"),
        ("\0", NotFoundError, "nothing here is called"),
        ("x" * 5000, NotFoundError, "nothing here is called 'xxx"),
        ("/dev/null", NotFoundError, "neither a regular file nor a folder"),
    ],
)
def test_no_thing_or_several(text, error, message):
    with ledger() as opened, pytest.raises(error) as caught:
        resolve(opened, text)
    assert message in str(caught.value)


@pytest.mark.usefixtures("named")
@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("https://example.org/a b", Resolved(iris=("https://example.org/a%20b",), by="iri")),
        ("urn:x:y", Resolved(iris=("urn:x:y",), by="iri")),
        (
            "01890000-0000-7000-8000-000000000000",
            Resolved(iris=(f"{vocab.ID}run/01890000-0000-7000-8000-000000000000",), by="run"),
        ),
        (
            "table-v1:00ff00ff",
            Resolved(iris=(f"{vocab.ID}content/table-v1/00ff00ff",), by="digest"),
        ),
    ],
)
def test_what_needs_no_name(text, found):
    with ledger() as opened:
        assert resolve(opened, text) == found


@pytest.mark.usefixtures("named")
def test_a_file_is_its_content_wherever_it_lies(tmp_path, monkeypatch):
    (tmp_path / "copy.bin").write_bytes(b"churn 1")
    monkeypatch.chdir(tmp_path)
    with ledger() as opened:
        for text in ("copy.bin", "./copy.bin", str(tmp_path / "copy.bin")):
            assert resolve(opened, text) == Resolved(iris=(iri(b"churn 1"),), by="path")


@pytest.mark.usefixtures("named")
def test_a_name_comes_before_a_file_of_that_name(tmp_path, monkeypatch):
    (tmp_path / "unversioned").write_bytes(b"something else")
    monkeypatch.chdir(tmp_path)
    with ledger() as opened:
        assert resolve(opened, "unversioned").iris == (iri(b"unversioned None"),)
        assert resolve(opened, "./unversioned").iris == (iri(b"something else"),)


@pytest.mark.usefixtures("named")
def test_a_later_run_of_a_name_is_the_one_that_is_meant():
    with provgraph.run("train", owner="ada"):
        pass
    with provgraph.run("train", owner="ada") as second:
        pass
    with ledger() as opened:
        found = resolve(opened, "train")
    assert (found.iris, found.others) == ((f"{vocab.ID}run/{second.id}",), 1)


@pytest.mark.usefixtures("named")
def test_a_model_is_meant_where_a_run_is_called_the_same():
    with ledger() as opened:
        assert model_entity(opened, "churn").digest == Digest(
            "sha256", hashlib.sha256(b"churn 2").hexdigest()
        )
        assert model_entity(opened, "both").digest == Digest(
            "sha256", hashlib.sha256(b"both as model").hexdigest()
        )


@pytest.mark.parametrize(
    ("iri_text", "digest"),
    [
        (f"{vocab.ID}content/sha256/{'ab' * 32}", Digest("sha256", "ab" * 32)),
        (f"{vocab.ID}content/table-v1/00ff00ff", Digest("table-v1", "00ff00ff")),
        (f"{vocab.ID}content/sha256/XYZ", None),
        (f"{vocab.ID}content/sha256", None),
        (f"{vocab.ID}run/x", None),
        ("https://example.org/content/sha256/00ff00ff", None),
    ],
)
def test_content_digest(iri_text, digest):
    assert content_digest(iri_text) == digest


@pytest.mark.parametrize(
    ("text", "found"),
    [("./x", True), ("~/x", True), ("a/b", True), ("churn", False), ("churn:3", False)],
)
def test_is_path_like(text, found):
    assert is_path_like(text) is found
