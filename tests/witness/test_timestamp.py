"""Time-stamps over the checkpoint, by a real authority: `openssl ts` on loopback."""

from __future__ import annotations

import base64
import os
import random
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from timestamp_authority import Authority, openssl

import provgraph
from provgraph.cli.main import main
from provgraph.errors import FormatError, UnreachableError, UntrustedError, UsageError
from provgraph.seal.members import MANIFEST, read_members, write_folder
from provgraph.seal.note import NoteSigner
from provgraph.seal.timestamp import MAX_TOKEN_BYTES, Roots, new_query, parse_roots, read_timestamp
from provgraph.service.home import log_signer
from provgraph.service.timestamping import stamp
from provgraph.settings import load

TEXT = b"provgraph.local/0123456789abcdef\n7\nBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=\n"

if shutil.which("openssl") is None and os.environ.get("CI") != "true":
    pytest.skip("needs openssl", allow_module_level=True)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tsa") / "ours")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tsa") / "theirs", name="Stranger")


@pytest.fixture
def honest(authority: Authority) -> Iterator[Authority]:
    yield authority
    authority.change_query = authority.change_reply = bytes


def roots_of(authority: Authority) -> Roots:
    return parse_roots(authority.ca.read_bytes(), what="ca.pem")


def token_over(authority: Authority, text: bytes) -> bytes:
    return authority.reply(new_query(text).data)


def test_a_token_says_when_and_who(authority: Authority) -> None:
    query = new_query(TEXT)
    token = authority.reply(query.data)
    found = read_timestamp(token, TEXT, roots=roots_of(authority), nonce=query.nonce)
    assert (found.authority, found.is_trusted) == ("CN=Test TSA,O=Example", True)
    assert abs(datetime.now(UTC) - found.at) < timedelta(minutes=1)
    assert read_timestamp(token, TEXT).is_trusted is False


def test_the_authority_sees_a_hash_and_nothing_else(authority: Authority) -> None:
    query = new_query(TEXT).data
    assert (TEXT in query, b"provgraph" in query, len(query) < 80) == (False, False, True)


def test_a_token_over_another_checkpoint_is_refused(authority: Authority) -> None:
    token = token_over(authority, TEXT.replace(b"\n7\n", b"\n8\n"))
    with pytest.raises(UntrustedError, match="expected a token over the checkpoint"):
        read_timestamp(token, TEXT, roots=roots_of(authority))


def test_an_answer_to_another_query_is_refused(authority: Authority) -> None:
    played_back = token_over(authority, TEXT)
    with pytest.raises(UntrustedError, match="its nonce is not ours"):
        read_timestamp(played_back, TEXT, nonce=new_query(TEXT).nonce)


def test_an_authority_that_is_not_trusted_is_refused(
    authority: Authority, stranger: Authority
) -> None:
    token = token_over(stranger, TEXT)
    with pytest.raises(UntrustedError, match="no authority that you trust signed it"):
        read_timestamp(token, TEXT, roots=roots_of(authority))
    assert read_timestamp(token, TEXT).authority == "CN=Stranger,O=Example"


def test_a_certificate_that_is_not_for_time_stamping_is_refused(
    authority: Authority, tmp_path: Path
) -> None:
    folder = shutil.copytree(authority.folder, tmp_path / "copy")
    web = Authority.__new__(Authority)
    web.folder = folder
    uses = ("stamping", "serving")
    for use in uses:
        web.certify(use)
        for kind in ("pem", "key"):
            (folder / f"tsa.{kind}").rename(folder / f"{use}.{kind}")
    # openssl's own authority refuses such a certificate, so the same statement is signed as CMS.
    (folder / "token.tsr").write_bytes(token_over(authority, TEXT))
    openssl("ts", "-reply", "-in", "token.tsr", "-token_out", "-out", "token.p7", folder=folder)
    statement = ("cms", "-verify", "-noverify", "-inform", "DER", "-in", "token.p7", "-out", "tst")
    openssl(*statement, folder=folder)
    resigned = {}
    for use in uses:
        openssl(
            "cms", "-sign", "-binary", "-nodetach", "-econtent_type", "1.2.840.113549.1.9.16.1.4",
            "-in", "tst", "-signer", f"{use}.pem", "-inkey", f"{use}.key", "-certfile", "ca.pem",
            "-outform", "DER", "-out", "new.p7", folder=folder,
        )  # fmt: skip
        signed = bytes.fromhex("3003020100") + (folder / "new.p7").read_bytes()
        resigned[use] = b"\x30\x82" + len(signed).to_bytes(2, "big") + signed
    roots = roots_of(authority)
    assert read_timestamp(resigned["stamping"], TEXT, roots=roots).is_trusted is True
    with pytest.raises(UntrustedError, match="signed it: unsuitable certificate purpose"):
        read_timestamp(resigned["serving"], TEXT, roots=roots)


def test_a_refusal_by_the_authority_is_said(authority: Authority) -> None:
    with pytest.raises(FormatError, match="did not grant one: REJECTION"):
        read_timestamp(authority.reply(b"hello"), TEXT)


def test_a_token_that_was_cut_is_refused_at_every_length(authority: Authority) -> None:
    token = token_over(authority, TEXT)
    for length in range(len(token)):
        with pytest.raises(FormatError):
            read_timestamp(token[:length], TEXT)
    with pytest.raises(FormatError):
        read_timestamp(token + b"\0", TEXT)
    with pytest.raises(FormatError, match=f"at most {MAX_TOKEN_BYTES} bytes"):
        read_timestamp(token + bytes(MAX_TOKEN_BYTES), TEXT)


def test_a_changed_token_is_refused_or_says_the_same(authority: Authority) -> None:
    token = token_over(authority, TEXT)
    roots = roots_of(authority)
    right = read_timestamp(token, TEXT, roots=roots)
    rng = random.Random(0)
    refused = 0
    for _ in range(1500):
        changed = bytearray(token)
        changed[rng.randrange(len(token))] = rng.randrange(256)
        try:
            found = read_timestamp(bytes(changed), TEXT, roots=roots)
        except (FormatError, UntrustedError):
            refused += 1
        else:
            # CMS signs neither the copy of the root beside the token, nor two version numbers, nor
            # the name of its own signature algorithm: they change nothing of what it says.
            assert found == right
    assert refused > 900


@pytest.mark.parametrize(
    "data", [b"", b"hello", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
def test_roots_are_certificates(data: bytes) -> None:
    with pytest.raises(UsageError, match=r"ca\.pem: expected certificates in PEM"):
        parse_roots(data, what="ca.pem")


# ---- on the command line ---------------------------------------------------------------------------------
def record(name: str = "train") -> None:
    with provgraph.run(name, owner="ada@example.org") as run:
        run.generate(
            "s3://b/m", role="model", name="churn", version="1", digest="sha256:" + "ab" * 32
        )
    assert run.receipt is not None


def export(tmp_path: Path, name: str) -> Path:
    path = tmp_path / name
    assert main(["export", "churn:1", "--format", "bundle", "--out", str(path)]) == 0
    return path


def test_stamp_export_and_verify(
    home: Path,
    tmp_path: Path,
    honest: Authority,
    stranger: Authority,
    capsys: pytest.CaptureFixture[str],
) -> None:
    record()
    ca = str(honest.ca)
    plain = export(tmp_path, "plain")
    with honest.serving() as address:
        assert main(["timestamp", "--tsa", address]) == 0
        assert "Its signature was not checked" in capsys.readouterr().out
        assert main(["timestamp", "--tsa", address, "--tsa-ca", ca]) == 0
    out = capsys.readouterr().out
    assert out.startswith("checkpoint over ")
    assert out.endswith("Z, says CN=Test TSA,O=Example\n")
    stamped = export(tmp_path, "stamped")
    capsys.readouterr()
    assert main(["verify", str(stamped), "--tsa-ca", ca]) == 0
    shown = capsys.readouterr().out
    assert "ok 12  this checkpoint existed at 2" in shown
    assert "Not checked" not in shown
    assert main(["verify", str(stamped)]) == 0
    assert (
        "Not checked: a time-stamp by which this checkpoint existed at" in capsys.readouterr().out
    )
    for words, said in (
        ([str(stamped), "--tsa-ca", str(stranger.ca)], "step 12: time-stamp: no authority that"),
        (
            [str(plain), "--tsa-ca", ca],
            "step 12: expected a time-stamp of the checkpoint, found none",
        ),
    ):
        assert main(["verify", *words]) == 1
        assert said in capsys.readouterr().err
    # After another record the token is over an earlier checkpoint, and does not travel.
    record("later")
    assert "checkpoint.tsr" not in read_members(export(tmp_path, "later"))
    follow_howto(stamped, ca)
    swap_token(stamped, token_over(honest, TEXT))
    assert main(["verify", str(stamped)]) == 1
    assert "step 12: time-stamp: expected a token over the checkpoint" in capsys.readouterr().err


def follow_howto(folder: Path, ca: str) -> None:
    """Run the lines about the token with openssl alone."""
    text = (folder / "HOWTO-VERIFY.txt").read_text()
    section = text.partition("A TIME-STAMP AUTHORITY SAW THIS CHECKPOINT")[2]
    lines = [line[5:] for line in section.splitlines() if line.startswith("     ")]
    script = "\n".join(lines).replace("/tmp/tsa-ca.pem", ca)
    done = subprocess.run(
        ["bash", "-c", script], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.stdout.splitlines()[0].startswith("Time stamp: ")
    assert "Verification: OK" in done.stdout + done.stderr


def swap_token(folder: Path, token: bytes) -> None:
    from provgraph.seal.bundle import write_manifest
    from provgraph.seal.charter import open_charter

    members = {**read_members(folder), "checkpoint.tsr": token}
    members.pop(MANIFEST)
    origin = open_charter(members["charter"]).origin
    signer = NoteSigner(name=origin, signer=log_signer(load()))
    members[MANIFEST] = write_manifest(members, origin=origin, signer=signer)
    shutil.rmtree(folder)
    write_folder(folder, members)


def test_a_token_that_is_not_what_was_asked_for_is_not_kept(
    home: Path, honest: Authority, stranger: Authority
) -> None:
    record()
    other = new_query(b"another checkpoint").data
    old = token_over(honest, TEXT)
    with honest.serving() as address:
        for change, error, said in (
            ("query", UntrustedError, "expected a token over the checkpoint"),
            ("played back", UntrustedError, "expected a token over the checkpoint"),
            ("cut", FormatError, "expected a token of RFC 3161"),
            ("HTML", FormatError, "expected a token of RFC 3161"),
        ):
            honest.change_query = (lambda _: other) if change == "query" else bytes
            honest.change_reply = {
                "played back": lambda _: old,
                "cut": lambda token: token[:-10],
                "HTML": lambda _: b"<html>",
            }.get(change, bytes)
            with pytest.raises(error, match=said):
                stamp(load(), address)
    with stranger.serving() as address:
        with pytest.raises(UntrustedError, match="no authority that you trust"):
            stamp(load(), address, roots=roots_of(honest))
    with pytest.raises(UnreachableError, match="Connection refused"):
        stamp(load(), "http://127.0.0.1:1")
    assert (home / "timestamps").exists() is False


def test_the_bare_install_says_what_is_lacking(
    home: Path, tmp_path: Path, honest: Authority, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    record()
    with honest.serving() as address:
        assert main(["timestamp", "--tsa", address]) == 0
    bundle = export(tmp_path, "bundle")
    import sys

    monkeypatch.setitem(sys.modules, "rfc3161_client", None)
    capsys.readouterr()
    assert main(["verify", str(bundle)]) == 0
    assert "Not checked: a time-stamp over the checkpoint; time-stamps need another package" in (
        capsys.readouterr().out
    )
    for words in (
        ["verify", str(bundle), "--tsa-ca", str(honest.ca)],
        ["timestamp", "--tsa", "http://127.0.0.1:1"],
    ):
        assert main(words) == 2
        assert "pip install 'provgraph[timestamp]'" in capsys.readouterr().err


def test_a_p1_token_in_base64_is_no_token(authority: Authority) -> None:
    with pytest.raises(FormatError):
        read_timestamp(base64.b64encode(token_over(authority, TEXT)), TEXT)
