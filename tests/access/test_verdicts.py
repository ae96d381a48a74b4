"""Verdicts: every role against every right, and the rules about projects, each with its reason."""

import pytest

from provgraph.access.roles import RIGHTS, ROLES
from provgraph.access.verdict import Caller, judge
from provgraph.errors import UsageError

# Written out by hand, so that a change of the table is a decision.
MAY = {
    "ingest": {"open", "ingest"},
    "reader": {"open", "read"},
    "auditor": {"open", "read", "read-private", "read-trail", "certify"},
    "steward": {
        "open",
        "read",
        "read-private",
        "ingest",
        "approve",
        "certify",
        "govern",
        "erase",
    },
    "key-admin": {"open", "read", "manage-keys"},
    "admin": {"open", "read", "operate", "administer"},
}


def ada(*roles, **more):
    return Caller(name="ada", by="token 1", roles=frozenset(roles), **more)


@pytest.mark.parametrize("role", sorted(ROLES))
def test_what_each_role_may_do(role):
    assert {right for right in RIGHTS if judge(ada(role), right).is_allowed} == MAY[role]


def test_the_table_knows_every_role_and_right():
    assert (set(MAY), set().union(*MAY.values())) == (set(ROLES), set(RIGHTS))


def test_nobody_has_only_what_is_open():
    assert {right for right in RIGHTS if judge(None, right).is_allowed} == {"open"}
    assert judge(None, "read").reason == "no valid token was given"


def test_a_refusal_says_which_role_it_takes():
    verdict = judge(ada("reader"), "erase")
    assert (verdict.is_allowed, verdict.reason) == (
        False,
        "ada has the roles reader; to erase takes the role steward",
    )


def test_a_limited_caller_stays_in_its_projects():
    limited = ada("reader", projects=frozenset({"churn"}))
    assert judge(limited, "read", project="churn").is_allowed is True
    refused = judge(limited, "read", project="flowers")
    assert (refused.is_allowed, refused.reason) == (
        False,
        "ada is limited to the projects churn, which flowers is not",
    )


def test_a_private_project_is_for_members_and_those_who_read_all():
    stranger, member = ada("reader"), ada("reader", member_of=frozenset({"secret"}))
    seen = [
        judge(each, "read", project="secret", is_private=True).is_allowed
        for each in (stranger, member, ada("auditor"), ada("admin"), ada("ingest"))
    ]
    assert seen == [False, True, True, False, False]
    assert judge(stranger, "read", project="secret", is_private=True).reason == (
        "the project secret is private, and ada does not belong to it"
    )


def test_an_unknown_role_gives_nothing_and_an_unknown_right_is_a_mistake():
    assert judge(ada("emperor"), "read").is_allowed is False
    with pytest.raises(UsageError, match="no right 'fly'"):
        judge(ada("admin"), "fly")
