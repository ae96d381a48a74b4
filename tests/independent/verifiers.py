"""The verifiers that are not ours: what each says of unpacked bundles, "" where it finds nothing."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import foreign_programs
import secured_documents
from howto import follow, require_tools
from test_merkle_with_pymerkle import bundle_proofs

from provgraph.errors import FormatError
from provgraph.seal.attestation import DSSE, SIGSTORE

Folders = dict[str, Path]
TRUE = "true"


def with_howto(folders: Folders) -> dict[str, str]:
    require_tools()
    instructions = (folders[TRUE] / "HOWTO-VERIFY.txt").read_text()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = pool.map(lambda each: howto_says(each, instructions), folders.values())
        return dict(zip(folders, found, strict=True))


def howto_says(folder: Path, instructions: str) -> str:
    records = sorted(path.name for path in (folder / "records").iterdir())
    expected = [
        *("unchanged", "complete", "Signature Verified Successfully"),
        "Signature Verified Successfully",
        *(f"records/{name} Signature Verified Successfully" for name in records),
        *(f"records/{name} in the tree" for name in records),
        "attestation Signature Verified Successfully",
        *("attested", "all attested", "under this checkpoint", "and nothing else", "same in both"),
    ]
    found = follow(folder, instructions).splitlines()
    return "" if found == expected else "\n".join(sorted({*found} ^ {*expected}))


def with_data_integrity(folders: Folders) -> dict[str, str]:
    said: dict[str, str] = {}
    texts: dict[str, list[str]] = {}
    for name, folder in folders.items():
        try:
            found = secured_documents.documents(folder)
        except ValueError as error:
            said[name] = f"no JSON: {error}"
            continue
        texts[name] = [json.dumps(document) for document in found.values()]
    # Most are the same document.
    unique = sorted({text for found in texts.values() for text in found})
    errors = secured_documents.verify([(text, json.loads(text)) for text in unique])
    return said | {
        name: "; ".join(sorted({errors[text] for text in found} - {""}))
        for name, found in texts.items()
    }


def with_sigstore(folders: Folders) -> dict[str, str]:
    request = []
    for name, folder in folders.items():
        told = read_json(folder / SIGSTORE)
        hint = told.get("verificationMaterial", {}).get("publicKey", {}).get("hint", "")
        request.append({"name": name, "bundle": told, "keys": {hint: log_pem(folder)}})
    said = {}
    for found in foreign_programs.run_node("sigstore.mjs", request):
        name, error = found["name"], found["error"]
        if not error and found["payloadType"] != "application/vnd.in-toto+json":
            error = "another type of payload"
        subjects = {} if error else subjects_of(base64.b64decode(found["payload"]))
        said[name] = error or subjects_say(folders[name], subjects)
    return said


def with_in_toto(folders: Folders) -> dict[str, str]:
    request = [
        {"name": name, "envelope": json.dumps(read_json(folder / DSSE)), "key": log_pem(folder)}
        for name, folder in folders.items()
    ]
    return {
        each["name"]: each["error"] or subjects_say(folders[each["name"]], each["subjects"])
        for each in foreign_programs.run_in_toto(request)
    }


def subjects_of(payload: bytes) -> dict[str, str]:
    return {each["name"]: each["digest"]["sha256"] for each in json.loads(payload)["subject"]}


def subjects_say(folder: Path, subjects: dict[str, str]) -> str:
    """Compare what was attested with the files, as `cosign verify-blob-attestation` does for one."""
    files = {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.glob("records/*/graph.nq")
    }
    return "" if files == subjects else "the files are not the subjects"


def with_pymerkle(folders: Folders) -> dict[str, str]:
    said, names, proofs = {}, [], []
    for name, folder in folders.items():
        try:
            found = bundle_proofs(folder)
        except (FormatError, FileNotFoundError) as error:
            said[name] = str(error)
            continue
        outside = [each for each in found if each["index"] >= each["size"]]
        if outside:
            said[name] = "an index is not below the size"
            continue
        names += [name] * len(found)
        proofs += found
    valid = foreign_programs.run_pymerkle({"entries": [], "proofs": proofs})["valid"]
    for name, is_valid in zip(names, valid, strict=True):
        said[name] = said.get(name, "") or ("" if is_valid else "not in the tree")
    return said


def read_json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text()) if path.exists() else {}


def log_pem(folder: Path) -> str:
    (path,) = folder.glob("keys/log-z6Mk*.pem")
    return path.read_text()


WITH: dict[str, Callable[[Folders], dict[str, str]]] = {
    "HOWTO-VERIFY": with_howto,
    "Data Integrity": with_data_integrity,
    "Sigstore": with_sigstore,
    "in-toto": with_in_toto,
    "pymerkle": with_pymerkle,
}
READY = {
    "Data Integrity": foreign_programs.ready_node,
    "Sigstore": foreign_programs.ready_node,
    "in-toto": foreign_programs.ready_in_toto,
    "pymerkle": foreign_programs.ready_pymerkle,
}
