"""Bundles without some of their graphs: withheld or erased, said so, and nothing else left out."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from forge import Forge
from howto import follow, require_tools
from small_history import record_history

from provgraph.cli.main import main
from provgraph.errors import NotFoundError, UntrustedError, UsageError
from provgraph.export.views import check_views
from provgraph.seal.bundle import VerifiedBundle, verify_bundle
from provgraph.seal.members import read_members, write_folder, write_zip
from provgraph.service import erasing
from provgraph.service.asking import open_reader
from provgraph.service.erasing import Order, carry_out, plan_erasure
from provgraph.service.exporting import export_bundle
from provgraph.service.home import close_ledger, producer_signer, writable_ledger
from provgraph.settings import load

Members = dict[str, bytes]

ORDER = Order(by="dpo@example.org", why="asked", ground=None)
BECAUSE = "names internal hosts"
ENVIRONMENT, SOURCE, PREPARE = "records/000000", "records/000001", "records/000002"


class Redacted(Forge):
    """A bundle of churn:2 with two graphs withheld and one erased, and what it was before."""

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self.before = self.members
        with writable_ledger(self.settings) as ledger:
            prepare = ledger.names("run", "prepare")[0].iri
        with open_reader(self.settings) as reader:
            plan = plan_erasure(reader, prepare)
        carry_out(self.settings, plan, ORDER)
        with open_reader(self.settings) as reader:
            self.members = export_bundle(
                reader, "churn:2", withhold=["environment", "source"], because=BECAUSE
            )
        self.about = json.loads(self.members["bundle.json"])
        self.tombstone = f"records/{self.about['erased'][0]['tombstone']:06d}"

    def saying(self, members: Members, **changes: object) -> Members:
        """Change bundle.json; None takes a key out."""
        about = {**self.about, **changes}
        said = {name: value for name, value in about.items() if value is not None}
        return {**members, "bundle.json": json.dumps(said).encode()}


@pytest.fixture(scope="module")
def redacted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redacted]:
    home = tmp_path_factory.mktemp("redacted") / "home"
    before = dict(os.environ)
    os.environ["PROVGRAPH_HOME"] = str(home)
    try:
        record_history()
        yield Redacted(home)
    finally:
        close_ledger()
        os.environ.clear()
        os.environ.update(before)


def verify(path: Path, steps: list[str] | None = None) -> VerifiedBundle:
    said = [] if steps is None else steps
    bundle = verify_bundle(path, report=lambda step, text: said.append(f"{step} {text}"))
    try:
        check_views(bundle)
    except UntrustedError as error:
        raise UntrustedError(f"step 10: {error}") from None
    return bundle


@pytest.mark.parametrize("kind", ["zip", "folder"])
def test_it_verifies_and_says_what_is_not_there(
    redacted: Redacted, tmp_path: Path, kind: str
) -> None:
    path = tmp_path / ("b.zip" if kind == "zip" else "b")
    (write_zip if kind == "zip" else write_folder)(path, redacted.members)
    steps: list[str] = []
    bundle = verify(path, steps)
    assert [text.partition(" ")[2].partition(";")[2][:22] for text in steps[4:6]] == [
        " 2 withheld, 1 erased:",
        " 2 withheld, 1 erased:",
    ]
    assert [(each.position, each.reason) for each in bundle.absent] == [
        (0, BECAUSE),
        (1, BECAUSE),
        (2, None),
    ]
    assert bundle.absent[2].tombstone == int(redacted.tombstone[-6:])
    files = {name.rpartition("/")[2] for name in redacted.members if name.startswith(ENVIRONMENT)}
    assert files == {"entry.json", "proof.nq", "record.tlog-proof", "signature.bin"}
    assert redacted.about["version"] == 2


def test_nothing_of_a_withheld_graph_is_in_any_file(redacted: Redacted, tmp_path: Path) -> None:
    with open_reader(redacted.settings) as reader:
        members = export_bundle(
            reader, "churn:2", withhold=["run", "approval"], because="under review"
        )
        train = reader.ledger.names("run", "train")[-1].iri
    path = tmp_path / "b"
    write_folder(path, members)
    assert len(verify(path).absent) == 3
    # The name of the model, the person who approved, a note: only those graphs have them.
    for word in (b"churn:2", b"churn/2", b"grace", b"chosen", b"too weak", b"learning%20rate"):
        assert [name for name, data in members.items() if word in data] == []
    # What others say of the model stays, under its digest; of the run nobody else says anything.
    assert b"cd" * 32 in members["lineage.trig"]
    assert [name for name, data in members.items() if train.encode() in data] == []
    assert json.loads(members["bundle.json"])["title"].startswith("https://w3id.org/provgraph/id/")


def test_the_lines_of_the_instructions_work(redacted: Redacted, tmp_path: Path) -> None:
    require_tools()
    write_folder(tmp_path / "b", redacted.members)
    folders = {name[:14] for name in redacted.members if name.startswith("records/")}
    output = follow(tmp_path / "b")
    assert output.splitlines()[:2] == ["unchanged", "complete"]
    assert output.count("Signature Verified Successfully") == 3 + len(folders)
    assert output.count(" in the tree") == len(folders)
    assert output.count("graph.nq is not here: see bundle.json") == 3
    assert output.count("WRONG") == output.count("NOT IN THE TREE") == 0
    said = ["attested", "all attested", "under this checkpoint", "and nothing else", "same in both"]
    assert output.splitlines()[-5:] == said
    howto = redacted.members["HOWTO-VERIFY.txt"].decode()
    assert f"{ENVIRONMENT}  withheld: {BECAUSE}" in howto
    assert f"{PREPARE}  erased; its tombstone is {redacted.tombstone}" in howto
    # A digest that is not the one that was signed is seen where no graph is, too.
    entry = tmp_path / "b" / ENVIRONMENT / "entry.json"
    digest = json.loads(entry.read_bytes())["graphSha256"]
    entry.write_bytes(entry.read_bytes().replace(digest.encode(), b"0" * 64))
    assert follow(tmp_path / "b").count(f"{ENVIRONMENT} NOT IN THE TREE") == 1


# ---- attacks -----------------------------------------------------------------------------------
def without(members: Members, *prefixes: str) -> Members:
    return {name: data for name, data in members.items() if not name.startswith(prefixes)}


def withheld_marker_removed(r: Redacted, members: Members) -> Members:
    return r.saying(members, withheld=None)


def erased_marker_removed(r: Redacted, members: Members) -> Members:
    return r.saying(members, erased=None)


def all_markers_removed(r: Redacted, members: Members) -> Members:
    return r.saying(members, withheld=None, erased=None, version=1)


def marker_of_a_graph_that_is_there(r: Redacted, members: Members) -> Members:
    here = r.about["records"][0]
    row = {"position": here["position"], "graph": here["graph"], "reason": BECAUSE}
    return r.saying(members, withheld=[*r.about["withheld"], row])


def marker_without_files(r: Redacted, members: Members) -> Members:
    return without(members, f"{ENVIRONMENT}/")


def graph_put_back(r: Redacted, members: Members) -> Members:
    return {**members, f"{ENVIRONMENT}/graph.nq": r.before[f"{ENVIRONMENT}/graph.nq"]}


def view_beside_a_withheld_graph(r: Redacted, members: Members) -> Members:
    return {**members, f"{ENVIRONMENT}/record.ttl": r.before[f"{ENVIRONMENT}/record.ttl"]}


def version_of_bundles_with_all_graphs(r: Redacted, members: Members) -> Members:
    return r.saying(members, version=1)


def erased_called_withheld(r: Redacted, members: Members) -> Members:
    row = {**r.about["erased"][0], "reason": BECAUSE}
    del row["tombstone"]
    return r.saying(members, withheld=[*r.about["withheld"], row], erased=None)


def withheld_called_erased(r: Redacted, members: Members) -> Members:
    at = int(r.tombstone[-6:])
    rows = [
        {"position": e["position"], "graph": e["graph"], "tombstone": at}
        for e in r.about["withheld"]
    ]
    return r.saying(members, withheld=None, erased=[*rows, *r.about["erased"]])


def tombstone_left_out(r: Redacted, members: Members) -> Members:
    records = [each for each in r.about["records"] if each.get("kind") != "tombstone"]
    kept = without(members, f"{r.tombstone}/", "attestation.")
    return r.saying(kept, records=records)


def erased_entry_left_out(r: Redacted, members: Members) -> Members:
    return r.saying(without(members, f"{PREPARE}/"), erased=None)


def another_tombstone_named(r: Redacted, members: Members) -> Members:
    return r.saying(members, erased=[{**r.about["erased"][0], "tombstone": 0}])


def tombstone_withheld(r: Redacted, members: Members) -> Members:
    (own,) = [each for each in r.about["records"] if each.get("kind") == "tombstone"]
    records = [each for each in r.about["records"] if each is not own]
    row = {"position": own["position"], "graph": own["graph"], "reason": BECAUSE}
    views = (f"{r.tombstone}/graph.nq", f"{r.tombstone}/record.")
    return r.saying(
        {
            **without(members, *views),
            f"{r.tombstone}/record.tlog-proof": members[f"{r.tombstone}/record.tlog-proof"],
        },
        records=records,
        withheld=[*r.about["withheld"], row],
    )


def erased_graph_brought_back(r: Redacted, members: Members) -> Members:
    row = {name: r.about["erased"][0][name] for name in ("position", "graph")}
    records = sorted([*r.about["records"], row], key=lambda each: each["position"])
    back = {
        name: r.before[name]
        for name in (f"{PREPARE}/graph.nq", f"{PREPARE}/record.jsonld", f"{PREPARE}/record.ttl")
    }
    return r.saying({**members, **back}, records=records, erased=None)


def entries_of_two_withheld_swapped(r: Redacted, members: Members) -> Members:
    one, other = f"{ENVIRONMENT}/entry.json", f"{SOURCE}/entry.json"
    return {**members, one: members[other], other: members[one]}


def files_of_two_withheld_swapped(r: Redacted, members: Members) -> Members:
    swapped = dict(members)
    for name in members:
        if name.startswith(ENVIRONMENT):
            other = name.replace(ENVIRONMENT, SOURCE)
            swapped[name], swapped[other] = members[other], members[name]
    return swapped


def digest_of_another_graph(r: Redacted, members: Members) -> Members:
    name = f"{ENVIRONMENT}/entry.json"
    said = json.loads(members[name])["graphSha256"].encode()
    return {**members, name: members[name].replace(said, b"0" * 64)}


def raw_signature_of_another(r: Redacted, members: Members) -> Members:
    return {**members, f"{ENVIRONMENT}/signature.bin": members[f"{SOURCE}/signature.bin"]}


def another_name_for_a_withheld_record(r: Redacted, members: Members) -> Members:
    first, *others = r.about["withheld"]
    return r.saying(members, withheld=[{**first, "graph": "urn:x"}, *others])


def no_reason(r: Redacted, members: Members) -> Members:
    first, *others = r.about["withheld"]
    return r.saying(members, withheld=[{**first, "reason": " "}, *others])


def position_as_text(r: Redacted, members: Members) -> Members:
    first, *others = r.about["withheld"]
    return r.saying(members, withheld=[{**first, "position": "0"}, *others])


def one_entry_listed_twice(r: Redacted, members: Members) -> Members:
    return r.saying(members, withheld=[*r.about["withheld"], r.about["withheld"][1]])


def empty_list(r: Redacted, members: Members) -> Members:
    return r.saying(members, withheld=[])


def withheld_statements_in_the_lineage(r: Redacted, members: Members) -> Members:
    return {**members, "lineage.trig": r.before["lineage.trig"]}


def withheld_statements_in_the_tree(r: Redacted, members: Members) -> Members:
    return {**members, "lineage.jsonld": r.before["lineage.jsonld"]}


ATTACKS: dict[Callable[[Redacted, Members], Members], str] = {
    withheld_marker_removed: r"step 5: expected a member records/000000/graph\.nq",
    erased_marker_removed: r"step 5: expected a member records/000002/graph\.nq",
    all_markers_removed: r"step 5: expected a member records/000000/graph\.nq",
    marker_of_a_graph_that_is_there: r"step 5: .*/graph\.nq is absent, and it is here",
    marker_without_files: r"step 5: bundle\.json lists entry 0 as absent, and has no file",
    graph_put_back: r"step 5: .*000000/graph\.nq is absent, and it is here",
    view_beside_a_withheld_graph: r"step 5: .*000000/record\.ttl is absent, and it is here",
    version_of_bundles_with_all_graphs: r"step 4: bundle\.json: expected version 2, found 1",
    erased_called_withheld: r"step 7: entry [0-9]+ erased entry 2, which is left out",
    withheld_called_erased: r"step 7: entry [01] of the ledger has no graph, and no tombstone fits",
    tombstone_left_out: r"step 7: entry 2 of the ledger has no graph, and no tombstone fits",
    erased_entry_left_out: r"step 7: entry [0-9]+ erased entry 2, which is left out",
    another_tombstone_named: r"step 7: bundle\.json names entry 0 as the tombstone of entry 2",
    tombstone_withheld: r"step 6: .*of kind tombstone is neither withheld nor erased",
    erased_graph_brought_back: r"step 7: .*entry 2 was erased, and its graph is in the bundle",
    entries_of_two_withheld_swapped: r"step 5: records/000000: ",
    files_of_two_withheld_swapped: r"step 6: records/000000: bundle\.json lists it as ",
    digest_of_another_graph: r"step 5: records/000000: ",
    raw_signature_of_another: r"step 5: .*signature\.bin is not the signature",
    another_name_for_a_withheld_record: r"step 6: .*bundle\.json lists it as urn:x",
    no_reason: r"step 5: bundle\.json: expected withheld entries in order",
    position_as_text: r"step 5: bundle\.json: expected withheld entries in order",
    one_entry_listed_twice: r"step 5: bundle\.json: expected withheld entries in order",
    empty_list: r"step 5: bundle\.json: expected a list of withheld entries, found \[\]",
    withheld_statements_in_the_lineage: r"step 10: lineage\.trig says what nobody signed",
    withheld_statements_in_the_tree: r"step 10: lineage\.jsonld says what nobody signed",
}


@pytest.mark.parametrize(
    ("attack", "said"), ATTACKS.items(), ids=lambda value: getattr(value, "__name__", "")
)
def test_a_falsified_redaction_is_refused(
    redacted: Redacted,
    tmp_path: Path,
    attack: Callable[[Redacted, Members], Members],
    said: str,
) -> None:
    changed = attack(redacted, redacted.members)
    assert changed != redacted.members
    write_zip(tmp_path / "b.zip", redacted.signed(changed))
    with pytest.raises(UntrustedError, match=f"^{said}"):
        verify(tmp_path / "b.zip")


def test_a_tombstone_sealed_by_a_producer_is_refused(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record_history()
    monkeypatch.setattr(erasing, "steward_signer", producer_signer)
    with writable_ledger(load()) as ledger:
        prepare = ledger.names("run", "prepare")[0].iri
    with open_reader(load()) as reader:
        plan = plan_erasure(reader, prepare)
    carry_out(load(), plan, ORDER)
    with open_reader(load()) as reader:
        write_zip(tmp_path / "b.zip", export_bundle(reader, "churn:2"))
    with pytest.raises(UntrustedError, match=r"^step 7: .*which is no steward's key"):
        verify(tmp_path / "b.zip")


# ---- the command -----------------------------------------------------------------------------------
def test_the_command_says_what_is_missing(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record_history()
    out = str(tmp_path / "b.zip")
    what = ["--withhold", "environment", "--withhold", "source", "--because", BECAUSE]
    assert main(["export", "churn:2", "--format", "bundle", "--out", out, *what]) == 0
    assert "records and 2 without their graphs" in capsys.readouterr().out
    assert main(["verify", out]) == 0
    shown = capsys.readouterr().out
    assert "; 2 withheld\n" in shown
    assert f"withheld: {BECAUSE}" in shown
    assert len(read_members(tmp_path / "b.zip")) > 0


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ({"withhold": ["environment"]}, UsageError, "says what it withholds and why"),
        ({"because": "x"}, UsageError, "says what it withholds and why"),
        ({"withhold": ["nobody"], "because": "x"}, NotFoundError, "nothing here is called"),
        ({"withhold": ["retraction"], "because": "x"}, NotFoundError, "no record of this bundle"),
        (
            {"withhold": ["run", "approval", "deployment", "observation"], "because": "x"},
            UsageError,
            "nothing to show",
        ),
    ],
)
def test_what_cannot_be_withheld_is_said(
    home: Path, given: dict[str, object], error: type[Exception], said: str
) -> None:
    record_history()
    with open_reader(load()) as reader, pytest.raises(error, match=said):
        export_bundle(reader, "churn:2", **given)  # type: ignore[arg-type]


def test_a_tombstone_is_never_withheld(redacted: Redacted) -> None:
    position = int(redacted.tombstone[-6:])
    with open_reader(redacted.settings) as reader:
        tombstone = reader.ledger.read(position).iri
        with pytest.raises(UsageError, match="of kind tombstone, which is never withheld"):
            export_bundle(reader, "churn:2", withhold=[tombstone], because="x")
