"""Records that no graph can hold, made to fit: the head of each long list, the whole as attachment.

Ten thousand inputs of one run are data about data, not something a query walks over. They are kept
in full beside the graph, as the JSON that journals use (`provgraph.capture.facts`), and the graph
says what of it is only there. The other repair is of single characters that not all verifiers sort
alike (see `provgraph.terms.require_one_order`).
"""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any, Final

from provgraph.capture.facts import decode, encode
from provgraph.digests import Digest, sha256_bytes
from provgraph.frozen import field_names, replace
from provgraph.recordable import Record
from provgraph.records import Missing

KEPT: Final = (1000, 100, 10)
"""Lengths of list to try, one after the other, until the graph is small enough."""

# Where code point order and UTF-16 order can differ.
_AMBIGUOUS = re.compile(r"[\ue000-\uffff]")


def visible(text: str) -> str:
    r"""Write the characters that verifiers sort differently as visible escapes (`\uFE0F`)."""
    return _AMBIGUOUS.sub(lambda match: f"\\u{ord(match[0]):04X}", text)


def unambiguous(record: Record) -> Record:
    """Return the record with `visible` applied to all of its texts."""
    text = json.dumps(encode(record), ensure_ascii=False)
    escaped = _AMBIGUOUS.sub(lambda match: f"\\\\u{ord(match[0]):04X}", text)
    return decode(type(record), json.loads(escaped))


def folded(record: Record, *, keep: int) -> tuple[Record, dict[Digest, bytes]]:
    """Cut every list and mapping to `keep` members; return the whole record as an attachment."""
    whole = json.dumps(encode(record), separators=(",", ":")).encode("ascii")
    digest = sha256_bytes(whole)
    left_out: Counter[str] = Counter()
    cut: Record = _cut(record, keep, record.__class__.__name__.lower(), left_out)
    unknown = tuple(
        Missing(
            field=f"{field} in the graph",
            reason=f"{count} of them are only in the attachment {digest}, which has all facts",
        )
        for field, count in sorted(left_out.items())
    )
    return replace(cut, missing=(*cut.missing, *unknown)), {digest: whole}


def _cut(value: Any, keep: int, field: str, left_out: Counter[str]) -> Any:
    if (names := field_names(type(value))) is not None:
        return replace(
            value, **{name: _cut(getattr(value, name), keep, name, left_out) for name in names}
        )
    if isinstance(value, tuple | dict) and len(value) > keep:
        left_out[field] += len(value) - keep
        value = value[:keep] if isinstance(value, tuple) else dict(list(value.items())[:keep])
    if isinstance(value, tuple):
        return tuple(_cut(item, keep, field, left_out) for item in value)
    return value
