"""`provgraph access`: tokens, roles, private projects, and why somebody may or may not."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

from rich.markup import escape
from rich.table import Table

from provgraph.access.roles import OPEN, RIGHTS, ROLES
from provgraph.access.store import AccessStore
from provgraph.access.verdict import Caller, judge
from provgraph.cli.output import console
from provgraph.errors import NotFoundError, UsageError
from provgraph.service.home import utc_now
from provgraph.settings import load

_LIFETIME: Final = re.compile(r"([0-9]{1,5})([hdwy])")
_UNITS: Final = {"h": 1, "d": 24, "w": 7 * 24, "y": 365 * 24}  # hours


def add_access(commands: Any, text: str) -> argparse.ArgumentParser:
    """Add `provgraph access`."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "access",
        help=text,
        description="Say who may reach this home's server. Until the first token is made the server"
        " is open to read from its own machine; from then on nobody reads without one.",
        epilog="Example: provgraph access create-token --owner ci@example.org --role ingest",
    )
    verbs = parser.add_subparsers(metavar="VERB", required=True)

    create = _verb(verbs, "create-token", _create, "make a token; its secret is shown once")
    create.add_argument("--owner", required=True, help="whose it is: a person or a system")
    create.add_argument("--role", action="append", required=True, choices=ROLES)
    create.add_argument("--project", action="append", help="limit it to a project; repeatable")
    create.add_argument("--expires", metavar="TIME", help="lifetime, such as 12h, 30d, 1y")
    create.add_argument("--note", help="what it is for")

    _verb(verbs, "tokens", _list, "list all tokens, without their secrets")
    revoke = _verb(verbs, "revoke-token", _revoke, "end a token now")
    revoke.add_argument("id", help="its id in the list")
    _verb(verbs, "roles", _roles, "show what each role may do")

    person = _verb(verbs, "set-roles", _set_roles, "give roles to somebody who signs in by OpenID")
    person.add_argument("person", help="the name in their token: an e-mail address, as a rule")
    person.add_argument("--role", action="append", choices=ROLES, help="none takes all away")

    project = _verb(
        verbs, "project", _project, "make a project private or open, and say who belongs"
    )
    project.add_argument("project")
    how = project.add_mutually_exclusive_group()
    how.add_argument("--private", action="store_true", help="for its members and auditors only")
    how.add_argument("--open", action="store_true", help="for every reader")
    project.add_argument("--add", action="append", metavar="PERSON", help="belongs to it")
    project.add_argument("--remove", action="append", metavar="PERSON", help="belongs no longer")

    explain = _verb(verbs, "explain", _explain, "say why somebody may or may not do something")
    explain.add_argument("who", help="a token's id, or the name of a person")
    explain.add_argument("right", choices=RIGHTS)
    explain.add_argument("--project", help="in this project")
    return parser


def _verb(
    verbs: Any, name: str, run: Callable[[AccessStore, argparse.Namespace], int], text: str
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(name, help=text, description=text)

    def opened(arguments: argparse.Namespace) -> int:
        store = AccessStore(load().home / "access.db", clock=utc_now)
        try:
            return run(store, arguments)
        finally:
            store.close()

    parser.set_defaults(run=opened)
    return parser


def _create(store: AccessStore, arguments: argparse.Namespace) -> int:
    token, secret = store.create_token(
        owner=arguments.owner,
        roles=arguments.role,
        projects=arguments.project,
        lifetime=_lifetime(arguments.expires),
        note=arguments.note,
    )
    print(f"token {token.id} of {token.owner}, roles {', '.join(sorted(token.roles))}")
    print("Its secret, shown this once:")
    print(f"\n    {secret}\n")
    print("Send it as 'Authorization: Bearer …', or set PROVGRAPH_TOKEN where pipelines run.")
    return 0


def _lifetime(text: str | None) -> timedelta | None:
    if text is None:
        return None
    match = _LIFETIME.fullmatch(text)
    if match is None:
        raise UsageError(f"--expires: expected a time such as 12h, 30d, 2w or 1y, found {text!r}")
    return timedelta(hours=int(match[1]) * _UNITS[match[2]])


def _list(store: AccessStore, _: argparse.Namespace) -> int:
    table = Table("id", "owner", "roles", "projects", "state", "expires", "last used", "note")
    now = utc_now()
    for token in store.tokens():
        table.add_row(
            token.id,
            escape(token.owner),
            ", ".join(sorted(token.roles)),
            "all" if token.projects is None else escape(", ".join(sorted(token.projects))),
            token.state(now),
            token.expires or "never",
            token.last_used or "never",
            escape(token.note or ""),
        )
    console().print(table)
    return 0


def _revoke(store: AccessStore, arguments: argparse.Namespace) -> int:
    token = store.revoke_token(arguments.id)
    print(f"token {token.id} of {token.owner} is revoked since {token.revoked}")
    return 0


def _roles(_: AccessStore, __: argparse.Namespace) -> int:
    table = Table("right", *ROLES, "what it is")
    for right, meaning in RIGHTS.items():
        marks = ["x" if right in rights or right == OPEN else "" for rights in ROLES.values()]
        table.add_row(right, *marks, meaning)
    console().print(table)
    return 0


def _set_roles(store: AccessStore, arguments: argparse.Namespace) -> int:
    store.set_roles(arguments.person, arguments.role or [])
    held = ", ".join(sorted(store.roles_of(arguments.person))) or "none"
    print(f"{arguments.person} has the roles: {held}")
    return 0


def _project(store: AccessStore, arguments: argparse.Namespace) -> int:
    if arguments.private or arguments.open:
        store.set_private(arguments.project, is_private=arguments.private)
    for person in arguments.add or []:
        store.set_member(arguments.project, person, belongs=True)
    for person in arguments.remove or []:
        store.set_member(arguments.project, person, belongs=False)
    state = "private" if arguments.project in store.private_projects() else "open"
    print(f"{arguments.project} is {state}")
    print(f"members: {', '.join(store.members(arguments.project)) or 'none'}")
    return 0


def _explain(store: AccessStore, arguments: argparse.Namespace) -> int:
    caller = _caller(store, arguments.who)
    verdict = judge(
        caller,
        arguments.right,
        project=arguments.project,
        is_private=arguments.project in store.private_projects(),
    )
    print(f"{'yes' if verdict.is_allowed else 'no'}: {verdict.reason}")
    return 0 if verdict.is_allowed else 1


def _caller(store: AccessStore, who: str) -> Caller:
    for token in store.tokens():
        if token.id == who:
            state = token.state(utc_now())
            if state != "active":
                raise UsageError(f"the token {who} is {state}: it may do nothing")
            return Caller(
                name=token.owner,
                by=f"token {token.id}",
                roles=token.roles,
                projects=token.projects,
                member_of=store.projects_of(token.owner),
            )
    roles = store.roles_of(who)
    if not roles:
        raise NotFoundError(
            f"{who} is neither the id of a token nor a person with roles;"
            " `provgraph access tokens` lists tokens"
        )
    return Caller(name=who, by="openid", roles=roles, member_of=store.projects_of(who))
