from __future__ import annotations

import contextlib
import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from ledger_samples import START, pending_run

from provgraph.digests import sha256_bytes
from provgraph.errors import LedgerError, ProvgraphError, UntrustedError
from provgraph.ledger import schema
from provgraph.ledger.fsck import LedgerReport, verify_ledger
from provgraph.ledger.fsck_range import SealedBy
from provgraph.ledger.rows import Pending
from provgraph.ledger.sqlite import Ledger
from provgraph.seal.keys import Signer, generate_signer
from provgraph.seal.note import Checkpoint, sign_checkpoint
from provgraph.seal.proof import seal


@pytest.fixture
def path(tmp_path: Path, open_ledger: Callable[[], Ledger], producer: Signer) -> Path:
    """A closed ledger of four records, one with an attachment."""
    data = b"points " * 40
    iri = "https://w3id.org/provgraph/id/record/attached"
    graph = f'<urn:s> <urn:p> "{sha256_bytes(data)}" <{iri}> .\n'.encode()
    attached = Pending(
        iri=iri,
        graph_nq=graph,
        seal=seal(graph, signer=producer, created=START),
        attachments={sha256_bytes(data): data},
    )
    with open_ledger() as ledger:
        ledger.append([pending_run(number, signer=producer) for number in range(3)])
        ledger.append([attached])
        return ledger.path


def check(path: Path, log_signer: Signer) -> LedgerReport:
    with Ledger.open(path, log_signer=log_signer, clock=lambda: START) as ledger:
        return verify_ledger(ledger)


def change(path: Path, statement: str, *values: object) -> int:
    with contextlib.closing(sqlite3.connect(path)) as db:
        count = db.execute(statement, values).rowcount
        db.commit()
    return count


def test_whole_ledger_is_reported(path: Path, log_signer: Signer, producer: Signer) -> None:
    with Ledger.open(path, log_signer=log_signer, clock=lambda: START) as ledger:
        report = verify_ledger(ledger)
        assert report == LedgerReport(
            origin=ledger.origin,
            size=4,
            root=ledger.root(),
            checkpoint=ledger.checkpoint(),
            sealed={
                ("record", producer.verification_method): SealedBy(
                    count=4, first=0, last=3, earliest=START, latest=START
                ),
            },
            attachments=1,
            names=len(_names(path)),
            graph_bytes=sum(len(record.graph_nq) for record in ledger.records()),
            findings=(),
        )
        assert report.sealed_by == {producer.verification_method: 4}


def test_empty_ledger_is_whole(ledger: Ledger) -> None:
    assert verify_ledger(ledger).size == 0


def test_a_reader_can_check(path: Path) -> None:
    with Ledger.open(path, log_signer=None, clock=lambda: START, read_only=True) as ledger:
        assert verify_ledger(ledger).size == 4


COLUMNS = [
    (table, column)
    for table, columns in {
        "ledger": ["id", "charter", "checkpoint"],
        "record": ["position", "iri_key", "nodes", "sealed", "graph"],
        "name": ["kind", "name", "position", "version", "iri"],
        "attachment": ["id", "digest", "data"],
        "attached": ["position", "attachment"],
    }.items()
    for column in columns
]


def test_the_columns_are_all_columns(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as db:
        found = [
            (table, row[1])
            for (table,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            for row in db.execute(f"PRAGMA table_info({table})")
        ]
    assert sorted(found) == sorted(COLUMNS)


def _flipped(value: object, place: float) -> object:
    if isinstance(value, int):
        return value ^ 1
    if isinstance(value, str):
        return chr(ord(value[0]) ^ 1) + value[1:] if value else "1"
    assert isinstance(value, bytes)
    changed = bytearray(value)
    changed[int(place * (len(changed) - 1))] ^= 1
    return bytes(changed)


@pytest.mark.parametrize("place", [0.0, 0.3, 0.5, 0.8, 1.0])
@pytest.mark.parametrize(("table", "column"), COLUMNS)
def test_a_flipped_bit_in_any_row_of_any_column_is_found(
    path: Path, log_signer: Signer, table: str, column: str, place: float
) -> None:
    backup = path.with_name("backup")
    shutil.copy(path, backup)
    assert check(path, log_signer).size == 4
    with contextlib.closing(sqlite3.connect(path)) as db:
        rows = db.execute(f"SELECT * FROM {table}").fetchall()
        names = [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
    where = " AND ".join(f"{name} = ?" for name in names)
    for row in rows:
        value = row[names.index(column)]
        with contextlib.closing(sqlite3.connect(path)) as db:
            db.execute("PRAGMA ignore_check_constraints = ON")
            statement = f"UPDATE {table} SET {column} = ? WHERE {where}"
            try:
                db.execute(statement, (_flipped(value, place), *row))
            except sqlite3.IntegrityError:
                # The neighbour has that value already; take one that nobody has.
                db.execute(statement, (1000, *row))
            db.commit()
        with pytest.raises(ProvgraphError):
            check(path, log_signer)
        shutil.copy(backup, path)
    assert check(path, log_signer).size == 4
    assert len(rows) == {"ledger": 1, "record": 4, "attachment": 1, "attached": 1}.get(
        table, len(_names(path))
    )


def _names(path: Path) -> list[object]:
    with contextlib.closing(sqlite3.connect(path)) as db:
        return db.execute("SELECT * FROM name").fetchall()


def test_a_byte_anywhere_in_the_blobs_is_found(path: Path, log_signer: Signer) -> None:
    """Every byte of one record's row, not only a few places."""
    with contextlib.closing(sqlite3.connect(path)) as db:
        ((graph, sealed, nodes),) = db.execute(
            "SELECT graph, sealed, nodes FROM record WHERE position = 3"
        ).fetchall()
    harmless = []
    for column, blob in (("graph", graph), ("sealed", sealed), ("nodes", nodes)):
        for place in range(len(blob)):
            changed = bytearray(blob)
            changed[place] ^= 0x80
            change(path, f"UPDATE record SET {column} = ? WHERE position = 3", bytes(changed))
            try:
                check(path, log_signer)
            except ProvgraphError:
                continue
            harmless.append((column, place, len(blob)))
        change(path, f"UPDATE record SET {column} = ? WHERE position = 3", blob)
    assert check(path, log_signer).size == 4
    # Deflate ends inside its last byte; the bits after its end say nothing.
    assert [found for found in harmless if found[1] != found[2] - 1] == []


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("DELETE FROM record WHERE position = 1", "expected entry 1, found 2"),
        ("DELETE FROM record WHERE position = 3", "its checkpoint says 4 entries"),
        ("DELETE FROM record WHERE position = 0", "expected entry 0, found 1"),
        ("DELETE FROM ledger", "charter"),
        ("DELETE FROM attachment", "entry 3 .* its attachment 1 is gone"),
        ("DELETE FROM attached", "belongs to no record"),
        ("UPDATE name SET position = 3", "does not say"),
        ("UPDATE name SET position = 9", "belongs to no record"),
        ("UPDATE record SET graph = (SELECT graph FROM record WHERE position = 0)", "sha256"),
        ("UPDATE record SET graph = 'text'", "as bytes"),
        ("CREATE TRIGGER t AFTER INSERT ON record BEGIN SELECT 1; END", "schema was changed at t"),
        ("DROP INDEX record_iri", "schema was changed at record_iri"),
        ("ALTER TABLE record ADD COLUMN x", "schema was changed at record"),
    ],
)
def test_structural_tampering_is_found(
    path: Path, log_signer: Signer, statement: str, message: str
) -> None:
    change(path, statement)
    with pytest.raises(UntrustedError, match=message):
        check(path, log_signer)


def test_history_rewritten_by_another_producer_is_found(
    path: Path, tmp_path: Path, log_signer: Signer
) -> None:
    """A row that is whole in itself, from another ledger of the same log key, is out of place."""
    with Ledger.open(tmp_path / "other.db", log_signer=log_signer, clock=lambda: START) as other:
        other.append([pending_run(0, signer=generate_signer())])
        row = other._db.execute("SELECT nodes, sealed, graph FROM record").fetchone()
    change(path, "UPDATE record SET nodes = ?, sealed = ?, graph = ? WHERE position = 0", *row)
    with pytest.raises(UntrustedError, match=r"entry 1 .* stored tree hashes|its checkpoint says"):
        check(path, log_signer)


def test_checkpoint_of_another_tree_stops_appending(
    path: Path, log_signer: Signer, producer: Signer
) -> None:
    with Ledger.open(path, log_signer=log_signer, clock=lambda: START) as ledger:
        forged = Checkpoint(origin=ledger.origin, size=5, root=ledger.root())
        change(path, "UPDATE ledger SET checkpoint = ?", sign_checkpoint(forged, log_signer))
        with pytest.raises(LedgerError, match=r"says 5 entries .* its rows make 4 .* nothing was"):
            ledger.append([pending_run(9, signer=producer)])
        assert ledger.size() == 4


def test_rows_cut_off_stop_appending(path: Path, log_signer: Signer, producer: Signer) -> None:
    change(path, "DELETE FROM record WHERE position = 3")
    item = pending_run(9, signer=producer)
    with (
        Ledger.open(path, log_signer=log_signer, clock=lambda: START) as ledger,
        pytest.raises(LedgerError, match=r"says 4 entries .* its rows make 3"),
    ):
        ledger.append([item])


def test_checkpoint_signed_by_another_key_stops_appending(
    path: Path, log_signer: Signer, producer: Signer
) -> None:
    with Ledger.open(path, log_signer=log_signer, clock=lambda: START) as ledger:
        forged = Checkpoint(origin=ledger.origin, size=4, root=ledger.root())
        change(path, "UPDATE ledger SET checkpoint = ?", sign_checkpoint(forged, generate_signer()))
        with pytest.raises(UntrustedError, match="no signature by a known key"):
            ledger.append([pending_run(9, signer=producer)])


def test_false_seal_is_found(
    open_ledger: Callable[[], Ledger], log_signer: Signer, producer: Signer
) -> None:
    """The ledger takes what service hands it; fsck does not take its word for the seal."""
    item = pending_run(0, signer=producer)
    other = pending_run(1, signer=producer)
    with open_ledger() as ledger:
        ledger.append([replace(item, seal=replace(item.seal, proof_value=other.seal.proof_value))])
        with pytest.raises(
            UntrustedError, match=f"{item.iri}: seal: the signature does not verify"
        ):
            verify_ledger(ledger)


def test_the_schema_in_use_is_the_one_checked() -> None:
    assert sorted(schema.TABLES) == [
        "attached",
        "attachment",
        "ledger",
        "name",
        "name_version",
        "record",
        "record_iri",
    ]
