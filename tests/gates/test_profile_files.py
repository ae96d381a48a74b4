"""Profiles that are refused, each with its line and a suggestion; and that the template is one."""

from __future__ import annotations

import pytest

from provgraph import resources
from provgraph.errors import FormatError, NotFoundError
from provgraph.query.promotion import ALWAYS, CHECKS, FACTS
from provgraph.query.requirements import (
    load_profile,
    parse_profile,
    profile_names,
    read_profile,
)

HEAD = 'id = "p"\nversion = "1"\ntitle = "P"\n'
ASKS = '[[requirement]]\nid = "a"\ntitle = "A"\nsource = "S"\n'


def refused(text: str) -> str:
    with pytest.raises(FormatError) as caught:
        parse_profile(text.encode(), where="p.toml")
    return str(caught.value)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ('fact = "ownr"\n', "line 8: a: no fact is called 'ownr'; did you mean owner?"),
        ('check = "seal"\n', "line 8: a: no check is called 'seal'; did you mean seals?"),
        ('question = "Q155"\n', "line 8: a: no query is called 'Q155'"),
        (
            'fcat = "owner"\n',
            "line 8: broken profile: there is no key 'fcat' in a requirement; did",
        ),
        ("", "line 4: a: expected one of fact, question, check; found none of them, so it checks"),
        ('fact = "owner"\ncheck = "seals"\n', "found fact and check"),
        ('fact = "owner"\nrows = "any"\n', "line 9: a: rows is for a question"),
        ('fact = "owner"\nrole = "x"\n', "line 9: a: role is for the checks approval and"),
        ('fact = "owner"\nseverity = "eror"\n', "line 9: a: no severity is called 'eror'; did you"),
        ('fact = "owner"\nwaivable_by = "x"\n', "line 9: waivable_by: expected a list of texts"),
        (
            'question = "Q15"\nwhere = { metrc = ["auc"] }\n',
            "line 9: a: Q15 has no column 'metrc'; did you mean metric?",
        ),
        ('question = "Q15"\nforbid = { met = [] }\n', "line 9: a: forbid.met lists no value"),
        ('question = "Q15"\nforbid = { met = "no" }\n', "line 9: met: expected a list of texts"),
        ('question = "Q15"\nat_least = { value = "0.9" }\n', "line 9: a: at_least.value: expected"),
        ('question = "Q15"\nat_least = { value = nan }\n', "line 9: a: at_least.value: expected"),
        ('question = "Q15"\nrows = "any"\n', "line 9: a: any rows and no rule on them: it checks"),
        ('question = "Q15"\nrows = "none"\nforbid = { met = ["x"] }\n', "so a rule on them checks"),
        ('question = "Q05"\nwith = { att = "x" }\n', "line 9: a: Q05 has no parameter 'att'"),
        ('question = "Q05"\nwith = { at = "x" }\n', "line 9: a: at: expected a time such as"),
        ('question = "Q24"\n', "line 8: a: Q24 is not about a model, so a gate cannot ask it"),
        ('fact = "owner"\nseverity = "warning"\n', "it only warns, so every model would pass"),
        (
            'fact = "owner"\n' + ASKS + 'fact = "tier"\n',
            "line 10: the requirement 'a' stands twice",
        ),
        (
            'fact = "owner"\n[[unanswerd]]\nid = "x"\n',
            "line 9: broken profile: there is no key 'una",
        ),
        ('fact = "owner"\n[[unanswered]]\nid = "x"\n', "line 9: broken profile: source: expected"),
        (
            'fact = "owner"\n[decisions]\nkeys = "every"\n',
            "line 10: decisions: no rule for keys is",
        ),
        ('fact = "owner"\n[decisions]\nkey = "any"\n', "line 10: broken profile: there is no key"),
        ('fact = "owner"\n[decisions]\nmax_days = 0\n', "line 10: max_days: expected 1 to 3660"),
        ('fact = "owner"\n[roles]\nx = "grace"\n', "line 10: x: expected a list of texts"),
        ('fact = "owner"\ntitle = "again"\n', "broken profile: "),
        ('fact = "owner"\nid = \n', "line 9"),
    ],
)
def test_a_profile_with_a_mistake_is_refused_with_its_line(more, message):
    assert message in refused(HEAD + ASKS + more)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEAD, "p.toml: it requires nothing, so every model would meet it"),
        (
            HEAD.replace('version = "1"', "version = 1") + ASKS + 'fact = "run"\n',
            "version: expected",
        ),
        (HEAD.replace("title", "titel") + ASKS, "line 3: broken profile: there is no key 'titel'"),
        ("\xff", "broken profile"),
    ],
)
def test_a_profile_that_is_none(text, message):
    assert message in refused(text)


def test_bytes_that_are_no_text():
    with pytest.raises(FormatError, match=r"p\.toml: broken profile"):
        parse_profile(b"\xff\xfe", where="p.toml")


def test_the_template_is_a_profile_and_names_all_that_there_is_to_ask():
    text = resources.read_text("ontology", "templates", "profile.toml")
    assert parse_profile(text.encode(), where="t").id == "my-team"
    assert [word for word in (*FACTS, *CHECKS) if word not in text] == []


@pytest.mark.parametrize("name", profile_names())
def test_a_profile_is_called_like_its_file_and_cites_its_sources(name):
    profile = load_profile(name)
    assert (profile.id, name) == (name, profile.id)
    assert [each.id for each in profile.requirements if len(each.source) < 8] == []
    assert [each.id for each in profile.unanswered if not each.why] == []
    checks = {each.check for each in profile.requirements}
    assert {"seals", "withdrawn", "contradictions"} <= checks
    # Nobody waives what every gate checks.
    waived = [each.id for each in profile.requirements if each.check in ALWAYS and each.waivable_by]
    assert waived == []


def test_a_profile_that_is_not_there(tmp_path):
    with pytest.raises(NotFoundError, match="did you mean sr-26-2"):
        read_profile("sr-26")
    with pytest.raises(NotFoundError, match="cannot read the profile"):
        read_profile(str(tmp_path / "no.toml"))


def test_a_profile_that_is_too_large(tmp_path):
    path = tmp_path / "large.toml"
    path.write_text("#" * (1024 * 1024 + 1))
    with pytest.raises(FormatError, match="at most 1048576 bytes"):
        read_profile(str(path))
