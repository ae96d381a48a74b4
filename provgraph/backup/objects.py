"""Object storage as a place for backups: S3 and what speaks it, Google Cloud Storage, Azure.

The only module that knows obstore. Credentials and endpoints come from the environment as obstore reads
it (`AWS_ACCESS_KEY_ID`, `AWS_ENDPOINT_URL`, `AWS_ALLOW_HTTP`, `GOOGLE_APPLICATION_CREDENTIALS`, …) and are never
stored. An object that was put is read back: what a service returns is compared by whoever wrote it.

A lock is an object that only one can create. One that is older than an hour, and not renewed, was left by a
process that died.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from provgraph.errors import NotFoundError, StorageError, UntrustedError, UsageError

if TYPE_CHECKING:
    from obstore.store import ObjectStore

SCHEMES: Final = ("s3", "s3a", "gs", "az", "azure", "abfs", "abfss")

_LOCK: Final = "lock"
_STALE_AFTER: Final = timedelta(hours=1)
_RENEW_AFTER_S: Final = 300.0
_TIMEOUT: Final = timedelta(minutes=5)
_CONNECT_TIMEOUT: Final = timedelta(seconds=10)
_MAX_RETRIES: Final = 3
_RETRY_FOR: Final = timedelta(seconds=60)


def open_objects(url: str) -> ObjectPlace:
    """Return the place at a URL; nothing is sent yet.

    Raises:
        UsageError: another scheme, a URL that cannot be read, or obstore is not installed.
    """
    scheme = url.partition("://")[0]
    if scheme not in SCHEMES:
        raise UsageError(
            f"expected a folder, or an address that begins with {', '.join(SCHEMES[:4])} and ://,"
            f" found {url!r}"
        )
    try:
        from obstore.exceptions import BaseError
        from obstore.store import from_url
    except ImportError:
        raise UsageError(
            f"{url}: object storage needs the extra `backup`: pip install 'provgraph[backup]'"
        ) from None
    try:
        store = from_url(
            url,
            client_options={
                "timeout": _TIMEOUT,
                "connect_timeout": _CONNECT_TIMEOUT,
                # What is given here stands in the place of what the environment says.
                "allow_http": os.environ.get("AWS_ALLOW_HTTP", "").lower() in {"1", "true"},
            },
            retry_config={"max_retries": _MAX_RETRIES, "retry_timeout": _RETRY_FOR},
        )
    except (BaseError, ValueError) as error:
        raise UsageError(f"{url}: {_brief(error)}") from None
    return ObjectPlace(store, url)


class ObjectPlace:
    """A bucket, or a prefix in one."""

    def __init__(self, store: ObjectStore, url: str) -> None:
        self._store = store
        self._url = url.rstrip("/")
        self._renewed_s: float | None = None
        self._keeps_versions = False

    @property
    def address(self) -> str:
        """The URL."""
        return self._url

    def make(self) -> None:
        """Nothing is to be made: prefixes are parts of names, and buckets are not ours to make."""

    def sizes(self, folder: str) -> dict[str, int]:
        """Return the objects below a prefix."""
        with self._errors():
            return {
                meta["path"].rpartition("/")[2]: meta["size"]
                for page in self._store.list(f"{folder}/")
                for meta in page
            }

    def read(self, name: str, *, max_bytes: int) -> bytes:
        """Return an object's bytes, at most so many of them."""
        with self._errors(name):
            found = self._store.get(name)
            if found.meta["size"] > max_bytes:
                raise UntrustedError(f"{self.address}: {name} has more than {max_bytes} bytes")
            return bytes(found.bytes())

    def write(self, name: str, data: bytes) -> None:
        """Put an object there; the service says that it has it."""
        if self._renewed_s is not None and time.monotonic() - self._renewed_s > _RENEW_AFTER_S:
            self._lock()
        with self._errors():
            result = self._store.put(name, data)
            self._keeps_versions = self._keeps_versions or result["version"] is not None

    def remove(self, name: str) -> None:
        """Delete an object."""
        with self._errors(), contextlib.suppress(NotFoundError):
            self._store.delete(name)

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Create the lock object, or take over one that is stale."""
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        with self._errors():
            try:
                self._store.put(_LOCK, _LOCK.encode(), mode="create")
            except (AlreadyExistsError, PreconditionError):
                age = datetime.now(UTC) - self._store.head(_LOCK)["last_modified"]
                if age < _STALE_AFTER:
                    raise StorageError(
                        f"{self.address}: another backup is being written there, or one died"
                        f" {int(age.total_seconds() // 60)} minutes ago; repeat when it is done, or after"
                        f" an hour, or delete the object `{_LOCK}` if you know that none is going on"
                    ) from None
                self._lock()
        self._renewed_s = time.monotonic()
        try:
            yield
        finally:
            self._renewed_s = None
            with contextlib.suppress(StorageError):
                self.remove(_LOCK)

    def caveats(self) -> tuple[str, ...]:
        """Say so where the bucket keeps old versions of what was deleted."""
        if not self._keeps_versions:
            return ()
        note = (
            f"{self.address} keeps old versions of deleted objects: what was erased is still in them."
            " Delete the versions, or end them by a lifecycle rule"
        )
        return (note,)

    def _lock(self) -> None:
        with self._errors():
            self._store.put(_LOCK, _LOCK.encode())
        self._renewed_s = time.monotonic()

    @contextlib.contextmanager
    def _errors(self, name: str = "") -> Iterator[None]:
        from obstore.exceptions import BaseError
        from obstore.exceptions import NotFoundError as NoObjectError

        try:
            yield
        except (BaseError, OSError) as error:
            if "NoSuchBucket" in str(error):
                raise StorageError(
                    f"{self.address}: there is no such bucket; make it, or mend the address"
                ) from None
            if isinstance(error, (NoObjectError, FileNotFoundError)):
                raise NotFoundError(f"{self.address}: {name or 'an object'} is missing") from None
            raise StorageError(
                f"{self.address}: {_brief(error)}; look at address, credentials and network, and repeat"
            ) from error


def _brief(error: Exception) -> str:
    """Return the first line of an error, which for obstore can go on with a whole response."""
    text = " ".join(str(error).split("\n\nDebug source")[0].split())
    return text[:300]
