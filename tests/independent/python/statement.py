"""Checks in-toto attestations with securesystemslib and in-toto-attestation, and nothing of provgraph.

`python -I statement.py <folder with both>` reads a JSON request from standard input:
`[{"name", "envelope": text, "key": PEM}]`. It answers `[{"name", "error", "subjects", "predicate"}]`:
what was wrong, or what the verified statement says: `{file: sha256}` and the predicate.
"""

from __future__ import annotations

import json
import sys

sys.path.insert(0, sys.argv[1])

import in_toto_attestation.v1.statement_pb2 as pb
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from google.protobuf.json_format import MessageToDict, Parse
from in_toto_attestation.v1.statement import Statement
from securesystemslib.dsse import Envelope
from securesystemslib.signer import SSlibKey


def main() -> None:
    """Answer the request on standard input."""
    json.dump([answer(**case) for case in json.load(sys.stdin)], sys.stdout)


def answer(name: str, envelope: str, key: str) -> dict:
    """Say what one envelope attests, or why it does not."""
    try:
        told = json.loads(envelope)
        # securesystemslib looks at signatures under the key's own id only.
        named = SSlibKey.from_crypto(
            load_pem_public_key(key.encode()), told["signatures"][0]["keyid"]
        )
        opened = Envelope.from_dict(told)
        opened.verify([named], threshold=1)
        if opened.payload_type != "application/vnd.in-toto+json":
            raise ValueError(f"payload of type {opened.payload_type}")
        statement = Statement.copy_from_pb(Parse(opened.payload, pb.Statement()))
        statement.validate()
    except Exception as error:
        return {"name": name, "error": f"{type(error).__name__}: {error}"}
    said = MessageToDict(statement.pb)
    subjects = {each["name"]: each["digest"]["sha256"] for each in said["subject"]}
    return {"name": name, "error": "", "subjects": subjects, "predicate": said["predicate"]}


if __name__ == "__main__":
    main()
