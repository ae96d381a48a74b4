"""The manifest: which segments make up a backup, signed by the log key as a note.

A note (C2SP signed-note) whose text is one item a line:

    provgraph-backup/v1 <origin>
    made <time>
    tree <size> <root in hex>
    charter <base64>
    checkpoint <base64 of the signed checkpoint over that tree>
    encryption none | scrypt-aes256gcm <log2 N> <r> <p> <salt> <check>
    home <SHA-256> <bytes> <fingerprint of the content>
    access-trail none | <origin of the trail>
    ledger <start> <stop> <erased rows> <SHA-256> <bytes>      one for each segment, in order
    trail <start> <stop> 0 <SHA-256> <bytes>

A manifest is written last, when everything it names is at its place. So half a backup has none.
No I/O here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from provgraph.backup.segments import LEDGER, TRAIL
from provgraph.errors import FormatError, UntrustedError
from provgraph.seal.charter import Charter, open_charter
from provgraph.seal.note import (
    Checkpoint,
    NoteSigner,
    decode_base64,
    encode_base64,
    open_checkpoint,
    open_note,
    sign_note,
)

UNENCRYPTED: Final = "none"
NO_TRAIL: Final = "none"
SUFFIX: Final = ".manifest"

_MAGIC: Final = "provgraph-backup/v1"
_NUMBER: Final = "(0|[1-9][0-9]{0,18})"
_SHA256: Final = "([0-9a-f]{64})"
_BODY = re.compile(
    rf"{_MAGIC} (?P<origin>\S+)\n"
    r"made (?P<made>\S+)\n"
    rf"tree (?P<size>{_NUMBER}) (?P<root>[0-9a-f]{{64}})\n"
    r"charter (?P<charter>\S+)\n"
    r"checkpoint (?P<checkpoint>\S+)\n"
    r"encryption (?P<encryption>[^\n]+)\n"
    rf"home (?P<home>{_SHA256} {_NUMBER} {_SHA256})\n"
    r"access-trail (?P<trail>\S+)\n"
    r"(?P<parts>(?:(?:ledger|trail) [^\n]+\n)*)"
)
_PART = re.compile(rf"(ledger|trail) {_NUMBER} {_NUMBER} {_NUMBER} {_SHA256} {_NUMBER}")
_NAME = re.compile(r"([0-9]{20})-([0-9]{8}T[0-9]{6}\.[0-9]{6}Z)-([0-9a-f]{8})\.manifest")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """An object at a place: the SHA-256 of its bytes there, and how many there are."""

    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A segment that belongs to a backup."""

    kind: str  # ledger | trail
    start: int
    stop: int
    erased: int
    stored: Stored


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A whole backup."""

    charter: Charter
    checkpoint: bytes
    tree: Checkpoint
    made: str
    encryption: str
    home: Stored
    home_fingerprint: str
    trail: str = NO_TRAIL  # origin of the access trail
    parts: tuple[Part, ...]

    def of(self, kind: str) -> tuple[Part, ...]:
        """Return the segments of one kind, in order."""
        return tuple(part for part in self.parts if part.kind == kind)

    def stored(self) -> dict[str, Stored]:
        """Return every object that the backup needs, by its name at the place."""
        found = {segment_name(part.stored): part.stored for part in self.parts}
        return found | {home_name(self.home): self.home}


def segment_name(stored: Stored) -> str:
    """Return what a segment is called at a place."""
    return f"segments/{stored.sha256}.segment"


def home_name(stored: Stored) -> str:
    """Return what the state of a home is called at a place."""
    return f"homes/{stored.sha256}.home"


def manifest_name(size: int, *, at: datetime, sha256: str) -> str:
    """Return what a manifest is called; the newest one of a ledger comes last in order."""
    return f"{size:020}-{at:%Y%m%dT%H%M%S.%fZ}-{sha256[:8]}{SUFFIX}"


def size_in(name: str) -> int | None:
    """Return the ledger size that a manifest's name states, None for a name of another form."""
    match = _NAME.fullmatch(name)
    return None if match is None else int(match[1])


def write_manifest(manifest: Manifest, signer: NoteSigner) -> bytes:
    """Return the signed note."""
    home = manifest.home
    lines = [
        f"{_MAGIC} {manifest.tree.origin}",
        f"made {manifest.made}",
        f"tree {manifest.tree.size} {manifest.tree.root.hex()}",
        f"charter {encode_base64(manifest.charter.note)}",
        f"checkpoint {encode_base64(manifest.checkpoint)}",
        f"encryption {manifest.encryption}",
        f"home {home.sha256} {home.size_bytes} {manifest.home_fingerprint}",
        f"access-trail {manifest.trail}",
        *(
            f"{each.kind} {each.start} {each.stop} {each.erased} {each.stored.sha256}"
            f" {each.stored.size_bytes}"
            for each in manifest.parts
        ),
    ]
    return sign_note("".join(f"{line}\n" for line in lines).encode(), [signer])


def open_manifest(data: bytes, *, name: str) -> Manifest:
    """Check a manifest, as far as it can be checked by itself.

    1. It has the form of one, and its file's name states its size.
    2. The charter in it is signed by the log key that it names, and is of the ledger it states.
    3. The manifest is signed by that key, and by nobody else.
    4. The checkpoint in it is signed by all keys of the log, over the tree that it states.
    5. Its segments follow each other without a gap, those of the ledger up to that size.

    Whose key that is, is for the caller to ask.

    Raises:
        FormatError: step 1.
        UntrustedError: the others.
    """
    # 1.
    cut = data.rfind(b"\n\n")
    try:
        match = _BODY.fullmatch(data[: max(cut + 1, 0)].decode("utf-8"))
        if match is None:
            raise FormatError(f"{name}: expected a backup's manifest of the form {_MAGIC}")
        size = int(match["size"])
        if size_in(name) != size:
            raise FormatError(f"{name}: its name states another ledger size than {size}")
        # 2.
        charter = open_charter(decode_base64(match["charter"]))
        if charter.origin != match["origin"]:
            raise UntrustedError(f"{name}: its charter is of {charter.origin}")
        # 3.
        signed = open_note(data, [charter.note_key]).body
        if data[len(signed) + 1 :].count(b"\n") != 1:
            raise UntrustedError(f"{name}: expected the log key's signature and no other line")
        # 4.
        note = decode_base64(match["checkpoint"])
        tree = open_checkpoint(note, *charter.log_keys)
        if (tree.size, tree.root.hex()) != (size, match["root"]):
            raise UntrustedError(f"{name}: its checkpoint is over another tree")
    except UnicodeDecodeError:
        raise FormatError(f"{name}: expected a backup's manifest in UTF-8") from None
    home = match["home"].split(" ")
    manifest = Manifest(
        charter=charter,
        checkpoint=note,
        tree=tree,
        made=match["made"],
        encryption=match["encryption"],
        home=Stored(sha256=home[0], size_bytes=int(home[1])),
        home_fingerprint=home[2],
        trail=match["trail"],
        parts=tuple(_part(line, name) for line in match["parts"].splitlines()),
    )
    # 5.
    for kind in (LEDGER, TRAIL):
        end = 0
        for part in manifest.of(kind):
            if part.start != end or part.stop <= part.start:
                raise UntrustedError(f"{name}: its segments of the {kind} do not meet at {end}")
            end = part.stop
        if kind == LEDGER and end != size:
            raise UntrustedError(f"{name}: its segments end at entry {end}, its tree at {size}")
    return manifest


def _part(line: str, name: str) -> Part:
    match = _PART.fullmatch(line)
    if match is None:
        raise FormatError(f"{name}: expected a segment, found {line[:200]!r}")
    return Part(
        kind=match[1],
        start=int(match[2]),
        stop=int(match[3]),
        erased=int(match[4]),
        stored=Stored(sha256=match[5], size_bytes=int(match[6])),
    )
