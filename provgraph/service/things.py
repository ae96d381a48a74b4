"""What people call things, turned into IRIs: `churn:3`, `churn`, a digest, a path, a run id.

Only the ledger's name table and the file system are asked; no index is needed, so that `deploy`
and `approve` stay as light as capture.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from provgraph import terms, vocab
from provgraph.digests import Digest, digest_path
from provgraph.errors import CaptureError, FormatError, NotFoundError, UsageError
from provgraph.frozen import dataclass, replace
from provgraph.governance import Assignment, Registration
from provgraph.ledger.names import Names
from provgraph.ledger.rows import StoredName
from provgraph.recordable import AboutThing, LaterFact
from provgraph.records import Entity, Missing
from provgraph.service.folding import visible

KINDS: Final = ("model", "dataset", "feature-set", "file", "run")
# Asked only where none of the above goes by a name: a column is often called like its table.
_LAST_KINDS: Final = ("feature", "legal-basis")
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_HEX = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """What a name means: one or several IRIs (several contents under one version), and how."""

    iris: tuple[str, ...]
    by: str  # iri | digest | name | path | run
    others: int = 0  # contents (or runs) that the same name had before the latest one


def resolve(ledger: Names, text: str, *, finds_files: bool = True) -> Resolved:
    """Find what somebody means.

    Tried in this order: IRI, SHA-256, run id, `name:version`, name (its latest version or run),
    other digests, path of an existing file (by content). A digest comes after names, since
    `churn:20260301` could be either. `kind/name` tells two kinds of one name apart. Without
    `finds_files` no path is tried: whoever asks over a network does not mean files of this machine.

    Raises:
        NotFoundError: nothing here goes by that.
        UsageError: a name that several kinds of things have.
    """
    text = text.strip()
    if not text:
        raise UsageError("expected the name of a thing, found nothing")
    if re.match(r"[A-Za-z][A-Za-z0-9+.\-]*://|urn:|pkg:|mailto:", text):
        return Resolved(iris=(terms.to_iri(text),), by="iri")
    if _HEX.fullmatch(text.removeprefix("sha256:")):
        digest = Digest("sha256", text.removeprefix("sha256:"))
        return Resolved(iris=(vocab.content_iri(digest),), by="digest")
    if _UUID.fullmatch(text):
        return Resolved(iris=(vocab.run_iri(text),), by="run")
    rows = find_names(ledger, text)
    if rows:
        kinds = sorted({row.kind for row in rows})
        if len(kinds) > 1:
            choices = ", ".join(f"{kind}/{text}" for kind in kinds)
            raise UsageError(f"{text!r} names several kinds of things; say which: {choices}")
        last = rows[-1]
        same = {row.iri for row in rows if row.version == last.version}
        iris = tuple(sorted(same)) if last.version else (last.iri,)
        others = {row.iri for row in rows}.difference(iris)
        return Resolved(iris=iris, by="name", others=len(others))
    if re.fullmatch(r"[a-z][a-z0-9-]*:[0-9a-f]{8,}", text):
        with contextlib.suppress(FormatError):
            return Resolved(iris=(vocab.content_iri(Digest.parse(text)),), by="digest")
    try:
        path = Path(text)
        if finds_files and path.exists():
            return Resolved(iris=(vocab.content_iri(digest_path(path).digest),), by="path")
    except (CaptureError, OSError, ValueError) as error:
        # Too long for a name of a file, a NUL in it, not readable.
        raise NotFoundError(f"nothing here is called {text[:200]!r}: {error}") from None
    raise NotFoundError(
        f"nothing here is called {text[:200]!r}: no name, digest, run or file."
        " `provgraph list` shows what is known"
    )


def find_names(ledger: Names, text: str) -> list[StoredName]:
    """Return the rows of the name table that `name`, `name:version` or `kind/name` means."""
    kind, slash, rest = text.partition("/")
    if slash and kind in (*KINDS, *_LAST_KINDS):
        return _rows_of(ledger, (kind,), terms.clean(rest))
    text = terms.clean(text)
    return _rows_of(ledger, KINDS, text) or _rows_of(ledger, _LAST_KINDS, text)


def _rows_of(ledger: Names, kinds: Sequence[str], text: str) -> list[StoredName]:
    # A record that not all verifiers would sort alike has its names in a visible spelling.
    for spelling in dict.fromkeys((text, visible(text))):
        for name, version in _splits(spelling):
            rows = [row for each in kinds for row in ledger.names(each, name, version=version)]
            if rows:
                return sorted(rows, key=lambda row: row.index)
    return []


def about(ledger: Names, record: LaterFact, called: str, *, finds_files: bool = True) -> LaterFact:
    """Return a later fact with the thing it is about looked up, by what the user called it.

    Raises:
        NotFoundError: a retraction or description of something that nothing here goes by; a model of
            that kind is recorded as unknown.
        UsageError: a retraction or description of what several things are called.
    """
    if not isinstance(record, AboutThing):
        return replace(record, model=model_entity(ledger, called, finds_files=finds_files))
    if isinstance(record, Registration | Assignment) and (named := _named(ledger, called)):
        return replace(record, target=named)
    if isinstance(record, Registration) and not _is_known(ledger, called, finds_files=finds_files):
        # A model may enter the inventory before it exists: by its name, as it will be called.
        reason = f"nothing here is called {called[:200]!r} yet"
        return replace(
            record,
            target=vocab.named_iri("model", ledger.namespace, *called.split(":", 1)),
            missing=(*record.missing, Missing(field="model", reason=reason)),
        )
    found = resolve(ledger, called, finds_files=finds_files)
    if len(found.iris) > 1:
        raise UsageError(f"{called} names several contents; say which by digest")
    return replace(record, target=found.iris[0])


def model_entity(ledger: Names, text: str, *, finds_files: bool = True) -> Entity:
    """Return the model that a deployment or approval is about, as an entity of its record.

    An unknown model is recorded all the same, as named and with what is missing: the fact that
    somebody deployed it must not be lost.
    """
    try:
        # A run is often called like the model that it makes.
        is_model = bool(find_names(ledger, f"model/{text}"))
        meant = f"model/{text}" if is_model else text
        found = resolve(ledger, meant, finds_files=finds_files)
    except (NotFoundError, UsageError) as error:
        return Entity(
            kind="model",
            uri=vocab.named_iri("model", ledger.namespace, *text.split(":", 1)),
            missing=(Missing(field="model", reason=str(error)),),
        )
    iri = found.iris[0]
    if len(found.iris) > 1:
        reason = f"{text} names {len(found.iris)} different contents; say which by digest"
        version = vocab.named_iri("model", ledger.namespace, *text.split(":", 1))
        return Entity(kind="model", uri=version, missing=(Missing(field="model", reason=reason),))
    digest = content_digest(iri)
    return Entity(kind="model", uri=iri) if digest is None else Entity(kind="model", digest=digest)


def _named(ledger: Names, text: str) -> str | None:
    """Return the IRI of what a name without a version means: all of its versions together."""
    rows = find_names(ledger, f"model/{text}") or find_names(ledger, text)
    name = terms.clean(text.partition("/")[2] if text.partition("/")[0] in KINDS else text)
    if rows and all(row.version and row.name in {name, visible(name)} for row in rows):
        kinds = {row.kind for row in rows}
        return vocab.named_iri(kinds.pop(), ledger.namespace, name) if len(kinds) == 1 else None
    return None


def _is_known(ledger: Names, text: str, *, finds_files: bool) -> bool:
    try:
        resolve(ledger, text, finds_files=finds_files)
    except NotFoundError:
        return False
    except UsageError:
        return True
    return True


def content_digest(iri: str) -> Digest | None:
    """Return the digest in a content IRI, None for any other IRI."""
    head, _, rest = iri.partition(f"{vocab.ID}content/")
    if head or not rest:
        return None
    algorithm, _, value = rest.partition("/")
    try:
        return Digest(algorithm, value)
    except FormatError:
        return None


def _splits(text: str) -> list[tuple[str, str | None]]:
    """Ways to read `a:b:c` as name and version: the whole as a name first, then each colon."""
    splits: list[tuple[str, str | None]] = [(text, None)]
    places = [place for place, character in enumerate(text) if character == ":"]
    splits += [(text[:place], text[place + 1 :]) for place in reversed(places)]
    return splits


def is_path_like(text: str) -> bool:
    """Whether text looks like a path rather than a name."""
    return os.sep in text or text.startswith((".", "~"))
