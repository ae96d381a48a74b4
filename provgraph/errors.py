"""The error tree. Every error that provgraph raises on purpose is one of these.

    ProvgraphError
    ├── UsageError          the caller asked for something that cannot be (exit code 2)
    │   ├── NotFoundError       the thing named does not exist here
    │   └── QueryError          a query is not well formed, or not allowed
    ├── FormatError         bytes from outside are not in the form their specification asks
    ├── UntrustedError      well-formed, but not to be believed: seal, proof, checkpoint, manifest
    ├── LedgerError         the ledger could not take or give an entry
    │   ├── ConflictError       the same record id with other bytes
    │   ├── ErasedError         the content was erased; a tombstone says by whom and why
    │   ├── KeyRefusedError     the key that sealed it may not seal here, or not any more
    │   ├── RolledBackError     an older copy, or another history, than a witness has seen
    │   └── StorageError        disk full, read-only, locked: the bytes are not durable
    ├── IndexUnavailableError   the index is locked or cannot be built; the ledger is unharmed
    │   └── DamagedIndexError       its files are not what was written; it is built anew
    ├── UnreachableError    nobody answered at an address that the operator named
    └── CaptureError        a fact could not be captured (raised only in strict mode)

A message says what was expected, what was found, which object, and what to do next.
The command line turns UsageError into exit code 2 and every other one into 1.
"""

from __future__ import annotations


class ProvgraphError(Exception):
    """Root of all errors that provgraph raises on purpose."""


class UsageError(ProvgraphError):
    """The caller asked for something that cannot be done as asked."""


class NotFoundError(UsageError):
    """The thing named does not exist in this ledger, folder or bundle."""


class QueryError(UsageError):
    """A query is not well formed, takes too long, or is not allowed."""


class FormatError(ProvgraphError):
    """Bytes from outside are not in the form that their specification asks."""


class UntrustedError(ProvgraphError):
    """Well-formed, but not to be believed: the trust boundary raises only this."""


class LedgerError(ProvgraphError):
    """The ledger could not take or give an entry."""


class ConflictError(LedgerError):
    """A record id is already in the ledger with other bytes."""


class ErasedError(LedgerError):
    """The content asked for was erased from the ledger; its tombstone says by whom and why."""


class KeyRefusedError(LedgerError):
    """A record's seal would not count: its key was revoked, is past its validity, or unknown."""


class RolledBackError(LedgerError):
    """The ledger is older than what a witness has seen of it, or has another history."""


class StorageError(LedgerError):
    """The bytes could not be made durable: disk full, read-only, locked."""


class IndexUnavailableError(ProvgraphError):
    """The index is locked or cannot be built; the ledger is unharmed."""


class DamagedIndexError(IndexUnavailableError):
    """The files of the index are not what was written; it is thrown away and built anew."""


class UnreachableError(ProvgraphError):
    """Nobody answered at an address, not in time, or not in HTTP."""


class CaptureError(ProvgraphError):
    """A fact could not be captured. Raised into the caller only in strict mode."""
