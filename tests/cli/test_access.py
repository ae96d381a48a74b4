"""`provgraph access` as an operator types it."""

import re

import pytest

from provgraph.cli.main import main


@pytest.fixture
def run(home, capsys):
    def run(*words):
        code = main(["access", *words])
        out = capsys.readouterr()
        return code, out.out, out.err

    return run


def token_id(text):
    return re.search(r"token ([0-9a-f]{8}) of", text)[1]


def test_a_token_is_shown_once_and_listed_without_its_secret(run):
    code, out, _ = run(
        "create-token", "--owner", "ci", "--role", "ingest", "--expires", "30d", "--note", "nightly"
    )
    secret = re.search(r"pgt_[A-Za-z0-9_-]{43}", out)[0]
    _, listed, _ = run("tokens")
    assert (code, secret in listed, token_id(out) in listed) == (0, False, True)


def test_a_revoked_token_may_do_nothing(run):
    _, out, _ = run("create-token", "--owner", "ci", "--role", "ingest")
    token = token_id(out)
    assert run("explain", token, "ingest")[:2] == (
        0,
        "yes: ci has the role ingest, which may ingest\n",
    )
    assert run("revoke-token", token)[0] == 0
    assert run("explain", token, "ingest")[0] == 2


def test_explain_names_the_rule_that_refuses(run):
    run("project", "secret", "--private", "--add", "ada")
    run("set-roles", "grace", "--role", "reader")
    run("set-roles", "ada", "--role", "reader")
    assert run("explain", "grace", "read", "--project", "secret")[:2] == (
        1,
        "no: the project secret is private, and grace does not belong to it\n",
    )
    assert run("explain", "ada", "read", "--project", "secret")[0] == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["explain", "nobody", "read"], "neither the id of a token nor a person"),
        (["revoke-token", "nope"], "there is no token 'nope'"),
        (
            ["create-token", "--owner", "x", "--role", "reader", "--expires", "soon"],
            "expected a time such as 12h",
        ),
    ],
)
def test_mistakes_are_told_with_the_next_step(run, words, message):
    code, _, err = run(*words)
    assert (code, message in err) == (2, True)
