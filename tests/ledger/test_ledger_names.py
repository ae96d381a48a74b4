"""Names and versions: found in the same time however many a thing has got."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable

import pytest
from ledger_samples import pending_run

from provgraph.errors import UntrustedError
from provgraph.ledger import reading, schema
from provgraph.ledger.fsck import verify_ledger
from provgraph.ledger.sqlite import Ledger
from provgraph.seal.keys import Signer


def plan(ledger: Ledger, statement: str, *values: str) -> list[str]:
    rows = ledger._db.execute(f"EXPLAIN QUERY PLAN {statement}", values).fetchall()
    return [detail for _, _, _, detail in rows]


def test_a_version_is_looked_up_without_reading_the_others(ledger: Ledger) -> None:
    assert plan(ledger, reading._NAMES_OF_VERSION, "model", "churn", "7") == [
        "SEARCH name USING COVERING INDEX name_version (kind=? AND name=? AND version=?)"
    ]


def test_the_version_before_is_looked_up_without_reading_all_others(ledger: Ledger) -> None:
    assert plan(ledger, reading._LAST_NAME_BUT, "model", "churn", "7")[0::2] == [
        "SEARCH late USING PRIMARY KEY (kind=? AND name=?)",
        (
            "SEARCH early USING COVERING INDEX name_version"
            " (kind=? AND name=? AND version=? AND position<?)"
        ),
    ]


def drop_index(ledger: Ledger) -> None:
    with contextlib.closing(sqlite3.connect(ledger.path)) as db:
        db.execute("DROP INDEX name_version")
        db.commit()


def test_ledger_of_an_earlier_version_gets_the_index_when_it_is_opened_for_writing(
    ledger: Ledger, open_ledger: Callable[[], Ledger], producer: Signer
) -> None:
    ledger.append([pending_run(number, signer=producer) for number in range(3)])
    expected = ledger.names("model", "churn", version="1")
    assert [(row.index, row.version) for row in expected] == [(1, "1")]
    drop_index(ledger)
    # Whoever only reads finds the same, and the check finds nothing wrong.
    assert ledger.names("model", "churn", version="1") == expected
    assert [row.version for row in ledger.names("model", "churn", last_but="2")] == ["1"]
    assert verify_ledger(ledger).size == 3
    with open_ledger() as again:
        assert plan(again, reading._NAMES_OF_VERSION, "model", "churn", "1") == [
            "SEARCH name USING COVERING INDEX name_version (kind=? AND name=? AND version=?)"
        ]
        assert again.names("model", "churn", version="1") == expected
        assert verify_ledger(again).size == 3


def test_an_index_of_that_name_over_something_else_is_found(
    ledger: Ledger, producer: Signer
) -> None:
    ledger.append([pending_run(1, signer=producer)])
    drop_index(ledger)
    with contextlib.closing(sqlite3.connect(ledger.path)) as db:
        db.execute(schema.TABLES["name_version"].replace("version <> ''", "version <> '1'"))
        db.commit()
    with pytest.raises(UntrustedError, match="the ledger's schema was changed at name_version"):
        verify_ledger(ledger)


def test_the_empty_version_is_one_that_can_be_asked_for(ledger: Ledger, producer: Signer) -> None:
    ledger.append([pending_run(1, signer=producer)])
    assert [row.name for row in ledger.names("dataset", "train", version="")] == ["train"]
    assert ledger.names("dataset", "train", version="1") == []
