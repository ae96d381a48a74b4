"""Writing a backup to one place: what is missing there, then the manifest, then what nobody needs goes.

Order of writes: segments and the home's state, each durable and read back before the next step; the manifest;
then manifests that are not kept, and objects that no manifest names. A process that dies anywhere
leaves the earlier backups whole, and objects that the next backup uses or takes away.

Segments that are not full are merged when there are many of them, so their number stays small. A segment
that holds content which has since been erased is replaced, and with it goes every earlier backup that needs it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from provgraph.backup import homes
from provgraph.backup.manifest import (
    NO_TRAIL,
    UNENCRYPTED,
    Manifest,
    Part,
    Stored,
    home_name,
    manifest_name,
    open_manifest,
    segment_name,
    size_in,
    write_manifest,
)
from provgraph.backup.places import Place
from provgraph.backup.segments import FULL_BYTES, FULL_ROWS, LEDGER, TRAIL, Source
from provgraph.errors import (
    FormatError,
    NotFoundError,
    RolledBackError,
    StorageError,
    UntrustedError,
    UsageError,
)
from provgraph.seal.charter import Charter
from provgraph.seal.encrypting import Cipher
from provgraph.seal.note import MAX_NOTE_BYTES, Checkpoint, NoteSigner
from provgraph.terms import format_time

MAX_SMALL_SEGMENTS: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What is to be backed up: the ledger as of one checkpoint."""

    charter: Charter
    checkpoint: bytes
    tree: Checkpoint
    root_at: Callable[[int], bytes]  # of the ledger at an earlier size
    erased: Mapping[int, int]  # entries below the tree's size without content -> their tombstones
    files: Mapping[str, bytes]  # the rest of the home, as `homes.gather` gives it
    trail: str = NO_TRAIL  # origin of the access trail
    trail_size: int = 0
    sources: Callable[[str, int], AbstractContextManager[Source]]  # kind, first entry needed


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """How a backup is to be made."""

    signer: NoteSigner
    passphrase: bytes | None = None  # encrypt with it
    keep: int  # so many of the newest backups
    checks: bool = False  # read what is there already, too
    is_known: bool = False  # there was a backup at the place before
    at: datetime


class ErasedMeanwhileError(Exception):
    """Something was erased while the backup was being written; it is to be taken once more."""


@dataclass(slots=True, kw_only=True)
class Written:
    """What a backup came to."""

    size: int
    manifest: str  # its name
    is_new: bool  # False: the place had all of it
    new_entries: int = 0
    new_bytes: int = 0
    segments: int = 0  # written now
    replaced: int = 0  # of them in the place of ones with erased content
    mended: int = 0  # of them in the place of ones that were missing or damaged
    dropped: int = 0  # earlier backups that were taken away
    notes: list[str] = field(default_factory=list)


def newest_manifest(place: Place) -> tuple[str, Manifest] | None:
    """Return the newest backup at a place; None where there is none.

    Raises:
        UntrustedError: its manifest is damaged. An earlier one is not taken in its stead unasked.
        StorageError: the place cannot be read.
    """
    names = manifest_names(place)
    return None if not names else (names[-1], read_manifest(place, names[-1]))


def manifest_names(place: Place) -> list[str]:
    """Return the names of the manifests at a place, the newest last."""
    return sorted(name for name in place.sizes("manifests") if size_in(name) is not None)


def read_manifest(place: Place, name: str) -> Manifest:
    """Return a manifest, checked as `open_manifest` does.

    Raises:
        UntrustedError: it is damaged, or not signed by the key that it names.
    """
    data = place.read(f"manifests/{name}", max_bytes=MAX_NOTE_BYTES)
    try:
        return open_manifest(data, name=name)
    except (FormatError, UntrustedError) as error:
        raise UntrustedError(
            f"{place.address}: the manifest {name} is damaged or forged: {error}. Restore from another"
            " place. To go on here without that backup, move the manifest away; the one before it counts"
            " then"
        ) from None


def cipher_of(encryption: str, passphrase: bytes | None, *, address: str) -> Cipher | None:
    """Return the key of a place's backups, None where they are not encrypted.

    Raises:
        UsageError: encrypted, and there is no passphrase.
        UntrustedError: encrypted with another one.
    """
    if encryption == UNENCRYPTED:
        return None
    if passphrase is None:
        raise UsageError(
            f"{address}: the backups there are encrypted; give their passphrase in"
            " PROVGRAPH_BACKUP_PASSPHRASE or with --passphrase-file"
        )
    try:
        return Cipher.of(encryption, passphrase)
    except UntrustedError:
        raise UntrustedError(
            f"{address}: wrong passphrase: the backups there were encrypted with another one"
        ) from None


def require_continued(content: Content, last: Manifest, *, address: str) -> None:
    """Check that the ledger goes on from what was backed up before.

    Raises:
        UntrustedError: the place holds backups of another ledger.
        RolledBackError: the ledger is older than the backup, or has another history.
    """
    if last.charter.note != content.charter.note:
        raise UntrustedError(
            f"{address}: it holds backups of the ledger {last.tree.origin}, and this is"
            f" {content.tree.origin}; a place is for one ledger: name another folder or prefix"
        )
    seen = last.tree
    if seen.size > content.tree.size:
        raise RolledBackError(
            f"{address}: the backup there has {seen.size} entries, and this ledger has"
            f" {content.tree.size}: this home is an older copy. Nothing was written. Restore that backup"
            f" (`provgraph restore {address} FOLDER`), and go on with it"
        )
    if content.root_at(seen.size) != seen.root:
        raise RolledBackError(
            f"{address}: the backup there and this ledger have other entries below {seen.size}: two"
            " histories of one ledger exist. Nothing was written. Find out which one is right"
            " (docs/backup.md), and back the other one up elsewhere"
        )


def write_backup(
    place: Place, content: Content, order: Order, *, erased_now: Callable[[], Mapping[int, int]]
) -> Written:
    """Bring a place up to the content.

    `erased_now` says again, at the end, which entries have no content.

    Raises:
        ErasedMeanwhileError: take the content anew and repeat; what was written is used then.
        UntrustedError: the place holds backups of another ledger, damaged ones, or returns other bytes
            than were written.
        RolledBackError: the ledger is older than what is there.
        StorageError: the place cannot be written; earlier backups are as they were.
    """
    place.make()
    with place.alone():
        return _Writing(place, content, order).run(erased_now)


class _Writing:
    """One backup to one place, as far as it has come."""

    def __init__(self, place: Place, content: Content, order: Order) -> None:
        self._place = place
        self._content = content
        self._order = order
        self._done = Written(size=content.tree.size, manifest="", is_new=True)
        self._sizes: dict[str, int] = {}
        self._cipher: Cipher | None = None

    def run(self, erased_now: Callable[[], Mapping[int, int]]) -> Written:
        place, content, order, done = self._place, self._content, self._order, self._done
        last = newest_manifest(place)
        if last is None and order.is_known:
            raise StorageError(
                f"{place.address}: the backups that were there are gone; mount the disk, or find out who"
                " took them away. To begin anew there, add --anew"
            )
        if last is not None:
            require_continued(content, last[1], address=place.address)
        self._cipher = self._agreed_cipher(last)
        for folder in ("segments", "homes"):
            self._sizes |= {f"{folder}/{name}": size for name, size in place.sizes(folder).items()}
        before = () if last is None else last[1].parts
        # A trail that was begun anew shares no row with the one before it.
        is_same_trail = last is not None and last[1].trail == content.trail
        parts = (
            *self._parts(LEDGER, before, size=content.tree.size),
            *self._parts(TRAIL, before if is_same_trail else (), size=content.trail_size),
        )
        home, fingerprint = self._home(last)
        if erased_now() != content.erased:
            raise ErasedMeanwhileError
        manifest = Manifest(
            charter=content.charter,
            checkpoint=content.checkpoint,
            tree=content.tree,
            made=format_time(order.at),
            encryption=UNENCRYPTED if self._cipher is None else self._cipher.terms,
            home=home,
            home_fingerprint=fingerprint,
            trail=content.trail,
            parts=parts,
        )
        if last is not None and _is_same(manifest, last[1]):
            done.manifest, done.is_new = last[0], False
        else:
            self._write_manifest(manifest)
        done.new_entries = content.tree.size - (0 if last is None else last[1].tree.size)
        self._clear()
        done.notes += place.caveats() if done.replaced or done.dropped else ()
        return done

    def _agreed_cipher(self, last: tuple[str, Manifest] | None) -> Cipher | None:
        passphrase, address = self._order.passphrase, self._place.address
        if last is None:
            return None if passphrase is None else Cipher.new(passphrase)
        if passphrase is not None and last[1].encryption == UNENCRYPTED:
            raise UsageError(
                f"{address}: the backups there are not encrypted; name another place for encrypted ones"
            )
        if passphrase is None and last[1].encryption != UNENCRYPTED:
            raise UsageError(f"{address}: the backups there are encrypted; add --encrypt")
        return cipher_of(last[1].encryption, passphrase, address=address)

    # ---- segments --------------------------------------------------------------------------------
    def _parts(self, kind: str, before: Sequence[Part], *, size: int) -> list[Part]:
        """Return the segments that make up the rows below `size`, written where they are not there."""
        known = [part for part in before if part.kind == kind and part.stop <= size]
        end = known[-1].stop if known else 0
        small = _small_tail(known) if end < size else []
        if len(small) >= MAX_SMALL_SEGMENTS:
            end = small[0].start
            known = known[: -len(small)]
        wanted: list[Part | tuple[int, int]] = [
            part if self._is_right(part) else (part.start, part.stop) for part in known
        ]
        if end < size:
            wanted.append((end, size))
        missing = [each[0] for each in wanted if not isinstance(each, Part)]
        if not missing:
            return known
        parts: list[Part] = []
        with self._content.sources(kind, missing[0]) as source:
            for each in wanted:
                if isinstance(each, Part):
                    parts.append(each)
                    continue
                start, stop = each
                while start < stop:
                    parts.append(self._write_segment(kind, source, start=start, size=stop))
                    start = parts[-1].stop
        return parts

    def _is_right(self, part: Part) -> bool:
        """Whether a segment is at the place as it should be, and holds nothing that was erased."""
        if part.kind == LEDGER and part.erased != self._erased(part.start, part.stop):
            self._done.replaced += 1
            return False
        name = segment_name(part.stored)
        if self._sizes.get(name) == part.stored.size_bytes and (
            not self._order.checks or self._is_as_stored(name, part.stored)
        ):
            return True
        self._done.mended += 1
        return False

    def _is_as_stored(self, name: str, stored: Stored) -> bool:
        try:
            data = self._place.read(name, max_bytes=stored.size_bytes)
        except (NotFoundError, UntrustedError):
            return False
        return hashlib.sha256(data).hexdigest() == stored.sha256

    def _write_segment(self, kind: str, source: Source, *, start: int, size: int) -> Part:
        segment = source.segment(start=start, size=size)
        if kind == LEDGER and segment.erased != self._erased(segment.start, segment.stop):
            raise ErasedMeanwhileError
        context = segment_context(
            kind, origin=self._content.tree.origin, start=segment.start, stop=segment.stop
        )
        stored = self._put(segment.data, context=context, name=segment_name)
        self._done.segments += 1
        return Part(
            kind=kind,
            start=segment.start,
            stop=segment.stop,
            erased=segment.erased,
            stored=stored,
        )

    def _erased(self, start: int, stop: int) -> int:
        return sum(start <= each < stop for each in self._content.erased)

    # ---- the rest --------------------------------------------------------------------------------
    def _home(self, last: tuple[str, Manifest] | None) -> tuple[Stored, str]:
        origin = self._content.tree.origin
        data = homes.encode(self._content.files, origin=origin)
        if self._cipher is None:
            fingerprint = hashlib.sha256(data).hexdigest()
        else:
            fingerprint = self._cipher.fingerprint(data)
        if last is not None and last[1].home_fingerprint == fingerprint:
            stored = last[1].home
            if self._sizes.get(home_name(stored)) == stored.size_bytes:
                return stored, fingerprint
        return self._put(data, context=home_context(origin), name=home_name), fingerprint

    def _put(self, data: bytes, *, context: str, name: Callable[[Stored], str]) -> Stored:
        """Put an object at the place, encrypted where it is to be, and read it back."""
        if self._cipher is not None:
            data = self._cipher.encrypt(data, context=context)
        stored = Stored(sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data))
        # If the process dies here, an object lies there that no manifest names.
        if self._sizes.get(name(stored)) != len(data) or self._order.checks:
            self._place.write(name(stored), data)
            self._done.new_bytes += len(data)
        if not self._is_as_stored(name(stored), stored):
            raise UntrustedError(
                f"{self._place.address}: it returns other bytes of {name(stored)} than were written;"
                " do not rely on this place: look at the disk, or the service"
            )
        return stored

    def _write_manifest(self, manifest: Manifest) -> None:
        data = write_manifest(manifest, self._order.signer)
        if len(data) > MAX_NOTE_BYTES:
            raise StorageError(
                f"{self._place.address}: the manifest would have {len(data)} bytes, and at most"
                f" {MAX_NOTE_BYTES} can be read back; begin anew at another place"
            )
        sha256 = hashlib.sha256(data).hexdigest()
        name = manifest_name(manifest.tree.size, at=self._order.at, sha256=sha256)
        # Everything that it names is durable by now. If the process dies before this, the backup before
        # it counts; after it, this one does.
        self._place.write(f"manifests/{name}", data)
        if self._place.read(f"manifests/{name}", max_bytes=len(data)) != data:
            raise UntrustedError(
                f"{self._place.address}: it returns other bytes of manifests/{name} than were written"
            )
        open_manifest(data, name=name)
        self._done.manifest = name
        self._done.new_bytes += len(data)

    def _clear(self) -> None:
        """Take away backups that are not kept, and objects that belong to none."""
        place, done = self._place, self._done
        names = manifest_names(place)
        kept: list[Manifest] = []
        for number, name in enumerate(reversed(names)):
            try:
                manifest = read_manifest(place, name)
            except UntrustedError as error:
                done.notes.append(str(error))
                continue
            if number >= max(1, self._order.keep) or self._holds_erased(manifest):
                place.remove(f"manifests/{name}")
                done.dropped += 1
            else:
                kept.append(manifest)
        needed = {name for manifest in kept for name in manifest.stored()}
        for folder in ("segments", "homes"):
            for name in place.sizes(folder):
                if f"{folder}/{name}" not in needed:
                    place.remove(f"{folder}/{name}")

    def _holds_erased(self, manifest: Manifest) -> bool:
        return any(
            part.erased != self._erased(part.start, part.stop) for part in manifest.of(LEDGER)
        )


def segment_context(kind: str, *, origin: str, start: int, stop: int) -> str:
    """Return what an encrypted segment is bound to."""
    return f"segment of the {kind} of {origin}, {start} to {stop}"


def home_context(origin: str) -> str:
    """Return what the encrypted state of a home is bound to."""
    return f"state of the home of {origin}"


def _small_tail(parts: Sequence[Part]) -> list[Part]:
    """Return the segments at the end that are not full."""
    small: list[Part] = []
    for part in reversed(parts):
        is_full = part.stop - part.start >= FULL_ROWS or part.stored.size_bytes >= FULL_BYTES // 2
        if is_full:
            break
        small.insert(0, part)
    return small


def _is_same(new: Manifest, old: Manifest) -> bool:
    return (new.tree, new.checkpoint, new.parts, new.home) == (
        old.tree,
        old.checkpoint,
        old.parts,
        old.home,
    )
