"""Who sees which attack: the rules from which docs/attacks.md is written, and which are tried.

A verifier sees an attack when a file that it reads is changed. It must refuse then, unless `BLIND` says
why it cannot; and where it sees nothing it must take the bundle, or the table would say too little.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import attacks
from forge import Forge

from provgraph.seal.members import RECORD_FILES, write_folder

Attack = Callable[[Forge, attacks.Members], attacks.Members]

READS: Final = {
    "HOWTO-VERIFY": r"MANIFEST|checkpoint|keys/.*|attestation\..*"
    r"|records/.*/(graph\.nq|proof\.nq|entry\.json|signature\.bin|record\.tlog-proof)",
    "Data Integrity": r"records/.*/record\.jsonld",
    "Sigstore": r"attestation\.sigstore\.json|keys/log-.*|records/.*/graph\.nq",
    "in-toto": r"attestation\.dsse\.json|keys/log-.*|records/.*/graph\.nq",
    "pymerkle": r"checkpoint|records/.*/(entry\.json|record\.tlog-proof)",
    "Go": r"checkpoint|keys/log-.*|records/.*/(entry\.json|record\.tlog-proof)",
}
VERIFIERS: Final = ("provgraph verify", *READS)

# A verifier that reads a changed file and cannot know better, and why.
_PLACE: Final = "a place in the ledger is not in the document"
_FILES_THERE: Final = "compares the graphs that are there"
_SUBJECTS: Final = "checks signature and subjects; the predicate is for its reader"
_FOLDER: Final = "takes the place from the proof, not from the folder's name"
_EXTRA: Final = "passes over extra data, as the specification lets it"
BLIND: Final[Mapping[tuple[str, Attack], str]] = {
    ("HOWTO-VERIFY", attacks.extra_data_in_a_proof): _EXTRA,
    ("HOWTO-VERIFY", attacks.key_file_of_nobody): "looks at the keys that records name",
    ("Data Integrity", attacks.position_in_seven_digits): _PLACE,
    ("Data Integrity", attacks.renamed_position): _PLACE,
    ("Data Integrity", attacks.two_records_on_one_position): _PLACE,
    ("Sigstore", attacks.attestation_of_another_root): _SUBJECTS,
    ("Sigstore", attacks.folder_of_views_without_a_graph): _FILES_THERE,
    ("in-toto", attacks.attestation_of_another_root): _SUBJECTS,
    ("in-toto", attacks.folder_of_views_without_a_graph): _FILES_THERE,
    ("pymerkle", attacks.checkpoint_signed_by_another_key): "knows no signatures",
    ("pymerkle", attacks.extra_data_in_a_proof): _EXTRA,
    ("pymerkle", attacks.position_in_seven_digits): _FOLDER,
    ("pymerkle", attacks.renamed_position): _FOLDER,
    ("pymerkle", attacks.two_records_on_one_position): _FOLDER,
}


def differ(true: attacks.Members, changed: attacks.Members) -> set[str]:
    """Return the names of what was changed, added or removed; the list is always signed again."""
    names = {*true, *changed} - {"MANIFEST"}
    folders = {name.rpartition("/")[0] for name in changed if name.startswith("records/")}
    needed = {f"{folder}/{file}" for folder in folders for file in RECORD_FILES}
    return {name for name in names if true.get(name) != changed.get(name)} | needed - {*changed}


def sees(verifier: str, names: set[str]) -> bool:
    """Whether a verifier reads one of these files."""
    return any(re.fullmatch(READS[verifier], name) for name in names)


def unpack(forge: Forge, place: Path) -> dict[str, Path]:
    """Write the true bundle and each falsified one into folders."""
    made = {"true": place / "true"}
    write_folder(made["true"], forge.members)
    for attack in attacks.MEMBERS:
        made[attack.__name__] = place / attack.__name__
        write_folder(made[attack.__name__], forge.signed(attack(forge, forge.members)))
    return made


def must_refuse(verifier: str, attack: Attack, forge: Forge) -> bool:
    """Whether the table says so."""
    return sees(verifier, _names(forge, attack)) and (verifier, attack) not in BLIND


@functools.cache
def _names(forge: Forge, attack: Attack) -> set[str]:
    return differ(forge.members, attack(forge, forge.members))


def contradictions(verifier: str, forge: Forge, said: Mapping[str, str]) -> dict[str, str]:
    """Return where a verifier contradicts the table; the true bundle is among what it was shown."""
    wrong = {"true": said["true"]} if said["true"] else {}
    return wrong | {
        attack.__name__: said[attack.__name__] or "took it"
        for attack in attacks.MEMBERS
        if attack.__name__ in said
        and must_refuse(verifier, attack, forge) is not (said[attack.__name__] != "")
    }
