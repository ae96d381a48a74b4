"""A decision on who may do what, with its reason: the same function for requests and for `explain`."""

from __future__ import annotations

from dataclasses import dataclass

from provgraph.access.roles import OPEN, READ_PRIVATE, RIGHTS, rights_of, roles_with
from provgraph.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who asks, as far as was verified.

    `projects` limits a caller to these projects (None: no limit); `member_of` are the private
    projects that it belongs to.
    """

    name: str
    by: str  # how it was verified: open | token <id> | openid <issuer>
    roles: frozenset[str] = frozenset()
    projects: frozenset[str] | None = None
    member_of: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether, and why: a sentence that names the role or the rule."""

    is_allowed: bool
    reason: str


def judge(
    caller: Caller | None, right: str, *, project: str | None = None, is_private: bool = False
) -> Verdict:
    """Decide whether a caller has a right, in a project where one is named.

    1. What is open is open to everybody.
    2. Nobody without a verified name has any other right.
    3. Some role of the caller has the right.
    4. A caller that is limited to projects stays within them.
    5. A private project is for its members and for roles that read all.

    Raises:
        UsageError: there is no such right.
    """
    if right not in RIGHTS:
        raise UsageError(f"there is no right {right!r}; there are {', '.join(RIGHTS)}")
    # 1.
    if right == OPEN:
        return Verdict(is_allowed=True, reason="open to everybody")
    # 2.
    if caller is None:
        return Verdict(is_allowed=False, reason="no valid token was given")
    # 3.
    holding = sorted(role for role in caller.roles if right in rights_of(frozenset({role})))
    if not holding:
        needed = " or ".join(roles_with(right))
        held = ", ".join(sorted(caller.roles)) or "none"
        return Verdict(
            is_allowed=False,
            reason=f"{caller.name} has the roles {held}; to {right} takes the role {needed}",
        )
    because = f"{caller.name} has the role {holding[0]}, which may {right}"
    if project is None:
        return Verdict(is_allowed=True, reason=because)
    # 4.
    if caller.projects is not None and project not in caller.projects:
        limits = ", ".join(sorted(caller.projects))
        return Verdict(
            is_allowed=False,
            reason=f"{caller.name} is limited to the projects {limits}, which {project} is not",
        )
    # 5.
    if is_private and project not in caller.member_of:
        if READ_PRIVATE not in rights_of(caller.roles):
            return Verdict(
                is_allowed=False,
                reason=f"the project {project} is private, and {caller.name} does not belong to it",
            )
        because += f"; {READ_PRIVATE} opens the private project {project}"
    return Verdict(is_allowed=True, reason=because)
