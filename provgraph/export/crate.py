"""`ro-crate-metadata.json`: makes a bundle a valid RO-Crate 1.1, so that crate tools can read it.

Specification: https://w3id.org/ro/crate/1.1. Only what the crate needs is said here; the lineage
itself is in lineage.jsonld.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

_TIMES = re.compile(rb"<http://www\.w3\.org/ns/prov#generatedAtTime> \"([^\"]+)\"")

_FORMATS: Final = {
    ".nq": "application/n-quads",
    ".ttl": "text/turtle",
    ".trig": "application/trig",
    ".jsonld": "application/ld+json",
    ".json": "application/json",
    ".txt": "text/plain",
    ".pem": "application/x-pem-file",
}
_DESCRIPTIONS: Final = {
    "MANIFEST": "Signed list of all files with their SHA-256",
    "charter": "Who the ledger is, signed by its log key",
    "checkpoint": "C2SP checkpoint: size and root of the ledger, signed by its log key",
    "trust.json": "The keys that signed",
    "attestation.dsse.json": "in-toto Statement over all graphs in a DSSE envelope, by the log key",
    "attestation.sigstore.json": "The same envelope as a Sigstore bundle v0.3",
    "lineage.jsonld": "The whole lineage as one readable JSON-LD tree",
    "lineage.trig": "The whole lineage as TriG, one graph per record",
    "HOWTO-VERIFY.txt": "How to verify with coreutils and openssl alone",
}


def metadata(
    members: Sequence[str], *, title: str, root: str, graphs: Sequence[bytes]
) -> dict[str, Any]:
    """Return the crate's metadata document; its date is that of the newest record."""
    files = sorted({*members, "MANIFEST"})
    times = sorted(time for graph in graphs for time in _TIMES.findall(graph))
    published = times[-1].decode() if times else "1970-01-01T00:00:00Z"
    return {
        "@context": "https://w3id.org/ro/crate/1.1/context",
        "@graph": [
            {
                "@id": "ro-crate-metadata.json",
                "@type": "CreativeWork",
                "about": {"@id": "./"},
                "conformsTo": {"@id": "https://w3id.org/ro/crate/1.1"},
            },
            {
                "@id": "./",
                "@type": "Dataset",
                "name": title,
                "description": f"Verifiable lineage of {title} ({root})",
                "datePublished": published,
                "license": "Each dataset names its own licence in lineage.jsonld",
                "hasPart": [{"@id": name} for name in files],
            },
            *(_file(name) for name in files),
        ],
    }


def _file(name: str) -> dict[str, Any]:
    entity: dict[str, Any] = {"@id": name, "@type": "File", "name": name}
    suffix = name[name.rfind(".") :] if "." in name else ""
    if suffix in _FORMATS:
        entity["encodingFormat"] = _FORMATS[suffix]
    if name in _DESCRIPTIONS:
        entity["description"] = _DESCRIPTIONS[name]
    return entity
