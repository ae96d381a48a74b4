"""Backups in object storage: a real S3 service, on loopback."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from backup_homes import PASSPHRASE, record, rows_of

from provgraph.backup.objects import ObjectPlace, open_objects
from provgraph.errors import StorageError, UntrustedError, UsageError
from provgraph.service.backing_up import Request, back_up
from provgraph.service.restoring import Choice, restore
from provgraph.settings import load

_SERVER = "from moto.server import main; import sys; main(sys.argv[1:])"
_START_S = 60.0


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server that speaks S3, with a bucket `lineage` and one that keeps versions, `versions`."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = (tmp_path_factory.mktemp("s3") / "log").open("wb")
    server = subprocess.Popen(
        [sys.executable, "-c", _SERVER, "-H", "127.0.0.1", "-p", str(port)], stdout=log, stderr=log
    )
    try:
        deadline = time.monotonic() + _START_S
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            assert server.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.kill()
        server.wait()
        log.close()


@pytest.fixture
def bucket(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    import boto3

    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ALLOW_HTTP": "true",
    }.items():
        monkeypatch.setenv(name, value)
    client = boto3.client("s3", endpoint_url=endpoint)
    client.create_bucket(Bucket="lineage")
    yield "s3://lineage/home"
    for each in client.list_objects_v2(Bucket="lineage").get("Contents", []):
        client.delete_object(Bucket="lineage", Key=each["Key"])
    client.close()


def backed_up(place: ObjectPlace, **how: object):
    (outcome,) = back_up(load(), [place], Request(**how))  # type: ignore[arg-type]
    return outcome


def test_a_backup_in_a_bucket_comes_back(home: Path, bucket: str, tmp_path: Path) -> None:
    assert backed_up(open_objects(bucket), passphrase=PASSPHRASE, with_keys=True).problem is None
    record("later")
    done = backed_up(open_objects(bucket), passphrase=PASSPHRASE, with_keys=True)
    assert (done.written.segments, done.written.new_entries) == (1, 1)
    choice = Choice(passphrase=PASSPHRASE)
    restore(open_objects(bucket), tmp_path / "back", choice, progress=lambda *_: None)
    assert rows_of(tmp_path / "back") == rows_of(home)
    assert (tmp_path / "back" / "keys" / "log.pem").exists()


def test_nothing_but_backups_is_left_in_a_bucket(home: Path, bucket: str) -> None:
    import boto3

    backed_up(open_objects(bucket))
    client = boto3.client("s3")
    found = {each["Key"] for each in client.list_objects_v2(Bucket="lineage")["Contents"]}
    client.close()
    assert sorted(name.split("/")[1] for name in found) == ["homes", "manifests", "segments"]


def test_a_changed_object_is_found(home: Path, bucket: str, tmp_path: Path) -> None:
    place = open_objects(bucket)
    backed_up(place)
    (name,) = place.sizes("segments")
    data = place.read(f"segments/{name}", max_bytes=1 << 20)
    place.write(f"segments/{name}", data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(UntrustedError, match="is damaged"):
        restore(place, tmp_path / "back", Choice(), progress=lambda *_: None)
    assert backed_up(place, checks=True).written.mended == 1
    restore(place, tmp_path / "back", Choice(), progress=lambda *_: None)


def test_two_backups_at_once_to_one_bucket(home: Path, bucket: str) -> None:
    with open_objects(bucket).alone():
        second = backed_up(open_objects(bucket))
    assert "another backup is being written there" in second.problem
    assert backed_up(open_objects(bucket)).problem is None


def test_a_bucket_that_keeps_versions_is_named_after_an_erasure(home: Path, bucket: str) -> None:
    import boto3
    from test_backup import erase_screening

    client = boto3.client("s3")
    client.create_bucket(Bucket="versions")
    client.put_bucket_versioning(Bucket="versions", VersioningConfiguration={"Status": "Enabled"})
    client.close()
    place = open_objects("s3://versions/home")
    backed_up(place)
    erase_screening()
    done = backed_up(open_objects("s3://versions/home"))
    assert done.written.replaced == 1
    assert "keeps old versions of deleted objects" in " ".join(done.written.notes)


def test_a_bucket_that_is_not_there(home: Path, bucket: str) -> None:
    assert "there is no such bucket" in backed_up(open_objects("s3://nowhere-at-all/x")).problem
    with pytest.raises(StorageError, match="there is no such bucket"):
        open_objects("s3://nowhere-at-all/x").sizes("manifests")


def test_a_service_that_is_away(home: Path, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    assert "look at address, credentials and network" in backed_up(open_objects(bucket)).problem


def test_addresses_of_other_kinds_are_refused() -> None:
    with pytest.raises(UsageError, match="expected a folder"):
        open_objects("ftp://x/y")
