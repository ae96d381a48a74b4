"""Roles and rights, as one table. A verdict on a request always names the row that it rests on.

Duties are separate: who operates the server hands out roles and sees what runs, and by that alone
neither reads a private project, nor erases, nor touches keys. Somebody who needs two duties has two
roles, and both stand in the access trail.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

OPEN: Final = "open"
READ: Final = "read"
READ_PRIVATE: Final = "read-private"
INGEST: Final = "ingest"
APPROVE: Final = "approve"
CERTIFY: Final = "certify"
GOVERN: Final = "govern"
ERASE: Final = "erase"
MANAGE_KEYS: Final = "manage-keys"
READ_TRAIL: Final = "read-trail"
OPERATE: Final = "operate"
ADMINISTER: Final = "administer"

RIGHTS: Final[Mapping[str, str]] = {
    OPEN: "health, version, the log and the vocabularies: for everybody",
    READ: "ask questions and read records of projects that are not private, or that one belongs to",
    READ_PRIVATE: "read every project, private ones too",
    INGEST: "append records",
    APPROVE: "append approvals, though never of a model version that one made oneself",
    CERTIFY: "append certificates of answers that one was given",
    GOVERN: "change ontology, shapes, profiles and policy",
    ERASE: "erase content, leaving a tombstone",
    MANAGE_KEYS: "announce, rotate and revoke keys",
    READ_TRAIL: "read who asked what",
    OPERATE: "see metrics and running queries, and stop them",
    ADMINISTER: "make and revoke tokens, and say who belongs to which project",
}

ROLES: Final[Mapping[str, frozenset[str]]] = {
    "ingest": frozenset({INGEST}),
    "reader": frozenset({READ}),
    "auditor": frozenset({READ, READ_PRIVATE, READ_TRAIL, CERTIFY}),
    "steward": frozenset({READ, READ_PRIVATE, INGEST, APPROVE, CERTIFY, GOVERN, ERASE}),
    "key-admin": frozenset({READ, MANAGE_KEYS}),
    "admin": frozenset({READ, OPERATE, ADMINISTER}),
}


def rights_of(roles: frozenset[str]) -> frozenset[str]:
    """Return what roles may do together; what everybody may, they may too."""
    return frozenset({OPEN}).union(*(ROLES[role] for role in roles if role in ROLES))


def roles_with(right: str) -> list[str]:
    """Return the roles that have a right, sorted."""
    return sorted(role for role, rights in ROLES.items() if right in rights)
