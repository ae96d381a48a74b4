"""Tables that a run uses and makes bring their profiles into the ledger, once each."""

from __future__ import annotations

import os

import numpy as np
import pandas as pd
import pytest
from readback import facts_of, records, verified

import provgraph
from provgraph import vocab
from provgraph.profiles.codec import decode
from provgraph.service.home import writable_ledger
from provgraph.settings import load

FRAME = pd.DataFrame(
    {"age": [20, 30, 40] * 20, "city": ["Rome", "Oslo", "Rome"] * 20, "y": [0, 1, 1] * 20}
)


def stored(digest):
    with writable_ledger(load(os.environ)) as ledger:
        return decode(ledger.attachment(digest))


def record_of(digest):
    (found,) = [f for f in profile_records() if vocab.profile_iri(digest) in f.all("Profile")]
    return found


def profile_records():
    return [facts for facts in records() if facts.all("ProfileRecord")]


@pytest.mark.usefixtures("home")
def test_a_used_table_is_linked_to_its_profile_and_the_profile_to_its_bytes():
    with provgraph.run("train") as run:
        data = run.use(FRAME, role="train", label="y", units={"age": "years"})
    digest = data.entity.profile
    facts = facts_of(run.receipt)
    content = vocab.content_iri(data.digest)
    assert facts.one(content, "columnProfile") == vocab.profile_iri(digest)
    profile = stored(digest)
    assert (profile.rows, profile.label.name, profile.columns[0].unit) == (60, "y", "years")
    graph = record_of(digest)
    home = vocab.profile_iri(digest)
    assert graph.one(home, "rowCount") == "60"
    assert graph.one(home, "labelColumn") == "y"
    assert graph.one(home, "attachment") == vocab.content_iri(digest)
    said = {
        name: graph.one(f"{home}#column-1", name)
        for name in ("rdfs:label", "dataType", "unit", "nullCount", "distinctCount", "mean")
    }
    assert said == {
        "rdfs:label": "age",
        "dataType": "integer",
        "unit": "years",
        "nullCount": "0",
        "distinctCount": "3",
        "mean": "30",
    }
    # Environment, profile, run (source code only where git is).
    assert verified().size in {3, 4}


@pytest.mark.usefixtures("home")
def test_equal_data_of_two_runs_has_one_profile_in_the_ledger():
    for frame in (FRAME, FRAME.sample(frac=1, random_state=1)):
        with provgraph.run("train") as run:
            run.use(frame)
            with run.step("again") as step:
                step.generate(frame.copy())
    assert len(profile_records()) == 1


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("how", ["argument", "run", "setting", "path", "bytes"])
def test_where_no_profile_is_wanted_there_is_none(how, monkeypatch, tmp_path):
    thing, given, around = FRAME, {}, {}
    if how == "argument":
        given = {"profile": False}
    elif how == "run":
        around = {"profile": False}
    elif how == "setting":
        monkeypatch.setenv("PROVGRAPH_PROFILE", "off")
    elif how == "path":
        thing = tmp_path / "data.csv"
        FRAME.to_csv(thing)
    else:
        thing = b"bytes"
    with provgraph.run("train", **around) as run:
        assert run.use(thing, **given).entity.profile is None
    assert profile_records() == []


@pytest.mark.usefixtures("home")
def test_a_table_without_a_digest_has_a_profile_and_no_fault(monkeypatch):
    monkeypatch.setenv("PROVGRAPH_STRICT", "off")
    frame = FRAME.assign(odd=[object()] * 60)
    with provgraph.run("train") as run:
        data = run.use(frame)
    assert data.digest is None
    assert [column.type for column in stored(data.entity.profile).columns][-1] == "unreadable"


@pytest.mark.usefixtures("home")
def test_a_profile_that_cannot_be_made_is_missing_and_never_raised():
    with provgraph.run("train") as run:
        data = run.use(np.array([1 + 2j]))
    assert data.entity.profile is None
    assert [each.field for each in data.entity.missing] == ["profile"]
    assert "complex numbers" in data.entity.missing[0].reason


@pytest.mark.usefixtures("home")
def test_a_setting_keeps_values_out_of_profiles(monkeypatch):
    monkeypatch.setenv("PROVGRAPH_PROFILE_VALUES", "off")
    with provgraph.run("train") as run:
        data = run.use(FRAME)
    assert stored(data.entity.profile).column("city").frequent is None


@pytest.mark.usefixtures("home")
def test_big_tables_are_sampled_by_the_setting(monkeypatch):
    monkeypatch.setenv("PROVGRAPH_PROFILE_ROWS", "20")
    with provgraph.run("train") as run:
        data = run.use(FRAME)
    assert stored(data.entity.profile).sampled.method == "every 3. row"
    home = vocab.profile_iri(data.entity.profile)
    graph = record_of(data.entity.profile)
    assert (graph.one(home, "rowCount"), graph.one(home, "profiledRowCount")) == ("60", "20")


@pytest.mark.usefixtures("home")
def test_a_killed_run_keeps_its_profiles_in_the_journal():
    from provgraph.service.recovery import recover

    run = provgraph.run("train").__enter__()
    data = run.use(FRAME)
    run._told._journal.close(remove=False)
    run.is_over = True
    provgraph.capture.open_runs.withdraw(run)
    (sealed,) = recover(load(os.environ))
    assert sealed.receipt is not None
    assert stored(data.entity.profile).rows == 60
