"""What a caller is served from says the same as the verdict on each project."""

from hypothesis import given
from hypothesis import strategies as st

from provgraph.access.roles import READ, ROLES
from provgraph.access.verdict import Caller, judge
from provgraph.access.views import FULL, View, view_of

PROJECTS = ["a", "b", "c"]
some = st.frozensets(st.sampled_from(PROJECTS))
callers = st.builds(
    Caller,
    name=st.just("x"),
    by=st.just("token"),
    roles=st.frozensets(st.sampled_from(sorted(ROLES)), max_size=2).map(lambda r: r | {"reader"}),
    projects=st.one_of(st.none(), some),
    member_of=some,
)


@given(caller=callers, private=some)
def test_a_view_shows_a_project_if_the_verdict_on_reading_it_is_yes(caller, private):
    view = view_of(caller, private=private)
    shown = {each for each in PROJECTS if view.shows(each)}
    allowed = {
        each
        for each in PROJECTS
        if judge(caller, READ, project=each, is_private=each in private).is_allowed
    }
    assert shown == allowed


def test_where_nothing_is_private_all_without_a_limit_share_one_view():
    reader = Caller(name="x", by="token", roles=frozenset({"reader"}))
    auditor = Caller(name="y", by="token", roles=frozenset({"auditor"}))
    assert (view_of(reader, private=frozenset()), view_of(auditor, private=frozenset("a"))) == (
        FULL,
        FULL,
    )


def test_a_view_names_what_it_leaves_out_and_not_the_policy():
    member = Caller(name="x", by="token", roles=frozenset({"reader"}), member_of=frozenset("a"))
    stranger = Caller(name="y", by="token", roles=frozenset({"reader"}))
    # What is right for one policy is right for the other.
    assert view_of(member, private=frozenset("ab")) == view_of(stranger, private=frozenset("b"))
    assert View(hidden=frozenset("b"), only=frozenset("a")).with_projects(frozenset("b")) == View(
        only=frozenset("ab")
    )
