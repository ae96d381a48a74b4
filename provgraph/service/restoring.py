"""Restoring a home from a backup, so that its ledger can go on only where others' history goes on.

1. The manifest is signed by the log key of the charter in it, or by the key that the reader names.
2. Everything it lists is there, with its digest (`provgraph.backup.restoring`).
3. The ledger that comes out of it is checked as `provgraph fsck` does, against the checkpoint in the manifest.
4. What has been seen beyond it keeps the ledger from being appended to: a later backup at the same place, and
   each witness that the ledger names, until `provgraph cosign` has asked it.
5. The folder gets its name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from provgraph.backup.manifest import size_in
from provgraph.backup.places import Place
from provgraph.backup.restoring import LEDGER_FILE, Backup, new_folder, restore_into
from provgraph.backup.writing import cipher_of, manifest_names, read_manifest
from provgraph.errors import NotFoundError, UntrustedError
from provgraph.ledger.fsck import LedgerReport, check_ledger
from provgraph.ledger.sqlite import Ledger
from provgraph.ledger.witnessed import Claim, Memory
from provgraph.pool import cores
from provgraph.seal.multikey import ED25519, PublicKey, did_key
from provgraph.seal.note import Checkpoint
from provgraph.seal.trustfile import open_trust
from provgraph.service.home import utc_now
from provgraph.service.witnessing import witnesses

Progress = Callable[[str, int, int], None]
"""Called with (what is done, how much of it is done, how much there is)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which backup is meant, and whose it must be."""

    at: int | None = None  # ledger size
    log_key: str | None = None  # did:key
    passphrase: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """A home that was restored."""

    folder: Path
    manifest: str
    made: str
    tree: Checkpoint
    log_key: str
    erased: int
    has_keys: bool
    newer: Checkpoint | None  # what a later backup at the place has signed
    unasked: tuple[str, ...]  # witnesses that must be asked before anything is appended


def choose(place: Place, choice: Choice) -> Backup:
    """Find a backup at a place and check its manifest.

    Raises:
        NotFoundError: there is none, or none of that size.
        UntrustedError: damaged, of another log key, or another passphrase.
        UsageError: it is encrypted, and there is no passphrase.
    """
    names = manifest_names(place)
    if not names:
        raise NotFoundError(f"{place.address}: no backup is there")
    found = [name for name in names if choice.at is None or size_in(name) == choice.at]
    if not found:
        sizes = ", ".join(str(size_in(name)) for name in names[-10:])
        raise NotFoundError(
            f"{place.address}: no backup of {choice.at} entries is there; there are ones of {sizes}"
        )
    manifest = read_manifest(place, found[-1])
    if choice.log_key is not None:
        expected, own = choice.log_key.partition("#")[0], log_key_of(manifest.charter.log_key)
        if own != expected:
            raise UntrustedError(
                f"{place.address}: the backup is signed by {own}, expected {expected}; it is of another"
                " ledger, or forged"
            )
    cipher = cipher_of(manifest.encryption, choice.passphrase, address=place.address)
    return Backup(place=place, name=found[-1], manifest=manifest, cipher=cipher)


def restore(place: Place, folder: Path, choice: Choice, *, progress: Progress) -> Restored:
    """Restore a backup into a folder that does not exist yet, or is empty.

    Raises:
        UsageError: there is something in the folder.
        UntrustedError: whatever of the backup is missing, damaged or forged; no folder was made.
        StorageError: the folder cannot be written; none was made.
    """
    with new_folder(folder) as made:
        return restore_to(made, choose(place, choice), named=folder, progress=progress)


def restore_to(folder: Path, backup: Backup, *, named: Path, progress: Progress) -> Restored:
    """Restore a backup into an empty folder of the caller's, which will be called `named`."""
    files = restore_into(
        folder, backup, progress=lambda done, total: progress("restoring", done, total)
    )
    path = folder / LEDGER_FILE
    with Ledger.open(path, log_signer=None, clock=utc_now, read_only=True) as ledger:
        report = _checked(ledger, backup, files, progress=progress)
        newer = _newer(backup)
        memory = Memory(path)
        if newer is not None:
            memory.remember_conflict(newer[0])
        unasked = tuple(peer.name for peer in witnesses(ledger))
        for name in unasked:
            text = (
                f"nothing yet: it has not been asked since this home was restored from a backup of"
                f" {report.size} entries (`provgraph cosign` asks it)"
            )
            memory.remember_claim(Claim(witness=name, text=text))
    return Restored(
        folder=named,
        manifest=backup.name,
        made=backup.manifest.made,
        tree=backup.manifest.tree,
        log_key=log_key_of(backup.manifest.charter.log_key),
        erased=report.erased,
        has_keys="keys/log.pem" in files,
        newer=None if newer is None else newer[1],
        unasked=unasked,
    )


def log_key_of(raw: bytes) -> str:
    """Return a log key as did:key."""
    return did_key(PublicKey(algorithm=ED25519, raw=raw))


def _checked(
    ledger: Ledger, backup: Backup, files: dict[str, bytes], *, progress: Progress
) -> LedgerReport:
    """Check the ledger; what was signed must be what came back."""
    trust_files = sorted(name for name in files if name.startswith("trust/"))
    trust = open_trust(files[trust_files[-1]]) if trust_files else None
    report = check_ledger(
        ledger,
        processes=cores(),
        trust=trust,
        progress=lambda done, total: progress("checking", done, total),
    )
    what = f"{backup.place.address}: the ledger in {backup.name}"
    if report.findings:
        raise UntrustedError(f"{what}: {report.findings[0].message}. Restore another backup")
    tree = backup.manifest.tree
    if (report.size, report.root) != (tree.size, tree.root):
        raise UntrustedError(f"{what} is not the tree that its manifest signs")
    return report


def _newer(backup: Backup) -> tuple[bytes, Checkpoint] | None:
    """Return the checkpoint of the newest backup at the place, where that is beyond this one."""
    for name in reversed(manifest_names(backup.place)):
        if name == backup.name:
            return None
        try:
            manifest = read_manifest(backup.place, name)
        except UntrustedError:
            continue
        is_ours = manifest.charter.note == backup.manifest.charter.note
        if is_ours and manifest.tree.size > backup.manifest.tree.size:
            return manifest.checkpoint, manifest.tree
    return None
