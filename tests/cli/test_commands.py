"""The command line as a user meets it: right answers, clear refusals, no stack trace."""

import csv
import io
import json
import shlex
import subprocess
import sys

import pytest
from small_history import DATA, MODEL, RAW, record_history

import provgraph
from provgraph.cli.main import COMMANDS, main
from provgraph.seal.bundle import verify_bundle
from provgraph.settings import load

PROGRAM = [
    sys.executable,
    "-c",
    "import sys; from provgraph.cli.main import main; sys.exit(main())",
]


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    patch = pytest.MonkeyPatch()
    folder = tmp_path_factory.mktemp("cli") / "home"
    patch.setenv("PROVGRAPH_HOME", str(folder))
    record_history()
    yield folder
    patch.undo()


def run(capsys, *arguments):
    code = main(list(arguments))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def rows(capsys, *arguments):
    code, out, err = run(capsys, *arguments, "--format", "json")
    assert (code, err) == (0, "")
    return json.loads(out)["rows"]


def test_models_runs_and_datasets_are_listed(told, capsys):
    assert sorted(row["digest"] for row in rows(capsys, "list", "models")) == sorted(
        [MODEL, "sha256:" + "dd" * 32]
    )
    assert [row["status"] for row in rows(capsys, "list", "runs")] == [
        "completed",
        "failed",
        "completed",
        "completed",
    ]


def test_lineage_up_and_down(told, capsys):
    code, out, _ = run(capsys, "lineage", "churn:2", "--format", "json")
    edges = json.loads(out)["edges"]
    assert code == 0
    assert [(e["child"][-4:], e["parent"][-4:]) for e in edges] == [
        ("abab", "cccc"),
        ("cdcd", "abab"),
    ]
    _, out, _ = run(capsys, "lineage", RAW, "--down", "--format", "json")
    kinds = sorted(node["kind"] for node in json.loads(out)["nodes"] if node["kind"])
    assert kinds.count("Model") == 2
    assert kinds.count("Deployment") == 1
    _, out, _ = run(capsys, "lineage", "churn:2")
    assert "raw" in out
    assert "CC-BY-4.0" in out


def test_q02_names_the_training_data_with_its_digest(told, capsys):
    found = rows(capsys, "query", "Q02", "--param", "model=churn:2")
    train = [row for row in found if row["role"] == "train"]
    assert [(row["digest"], row["strength"]) for row in train] == [(DATA, "content")]


def test_q10_gives_the_parameters_with_their_names(told, capsys):
    found = rows(capsys, "query", "Q10", "--param", "run=churn:2")
    values = {row["name"]: row["value"] for row in found}
    assert values["depth"] == 6
    assert values["learning rate"] == 0.1


def test_q13_shows_the_failed_attempt_with_its_reason(told, capsys):
    found = rows(capsys, "query", "Q13", "--param", "experiment=weekly")
    assert [row["status"] for row in found] == ["completed", "failed", "completed", "completed"]
    reasons = [row["reason"] for row in found if row["reason"]]
    assert len(reasons) == 1
    assert reasons[0].startswith("ValueError: too deep")


def test_q15_gives_value_interval_and_verdict(told, capsys):
    found = rows(capsys, "query", "Q15", "--param", "model=churn:2")
    measured = [row for row in found if row["value"] == 0.91]
    assert [(row["low"], row["high"], row["n"], row["met"]) for row in measured] == [
        (0.89, 0.93, 1000, True)
    ]


def test_q19_reaches_the_deployment_and_its_owner(told, capsys):
    found = rows(capsys, "query", "Q19", "--param", f"dataset={RAW}")
    deployed = [row for row in found if row["kind"] == "Deployment"]
    assert [row["stage"] for row in deployed] == ["production"]
    assert any(row["kind"] == "Model" and row["owner"] == "ada@example.org" for row in found)


def test_q22_shows_what_differs_and_leaves_out_what_is_shared(told, capsys):
    found = rows(capsys, "query", "Q22", "--param", "before=churn:1", "--param", "after=churn:2")
    parameters = sorted(
        (row["only"], row["name"], row["value"]) for row in found if row["what"] == "parameter"
    )
    assert parameters == [("after", "depth", 6), ("before", "depth", 3)]
    assert [row for row in found if row["what"] == "data"] == []


@pytest.mark.parametrize("query", ["Q01", "Q11", "Q12"])
def test_the_other_questions_answer(told, capsys, query):
    parameter = "model" if query == "Q01" else "run"
    assert len(rows(capsys, "query", query, "--param", f"{parameter}=churn:2")) >= 3


def test_csv_and_sparql_formats(told, capsys):
    query = "SELECT ?s WHERE { ?r <https://w3id.org/provgraph/ns#status> ?s } ORDER BY ?s"
    _, out, _ = run(capsys, "sparql", query, "--format", "csv")
    assert [row[0] for row in csv.reader(io.StringIO(out))] == [
        "s",
        "completed",
        "completed",
        "completed",
        "failed",
    ]
    _, out, _ = run(capsys, "sparql", query, "--format", "json")
    bindings = json.loads(out)["results"]["bindings"]
    assert bindings[-1] == {"s": {"type": "literal", "value": "failed"}}
    construct = (
        "CONSTRUCT { ?r a <https://e.org/R> } WHERE { ?r a <https://w3id.org/provgraph/ns#Run> }"
    )
    _, out, _ = run(capsys, "sparql", construct, "--format", "ntriples")
    assert len(out.splitlines()) == 4


@pytest.mark.parametrize("form", ["jsonld", "turtle", "trig", "nquads"])
def test_export_writes_each_format(told, capsysbinary, form):
    assert main(["export", "churn:2", "--format", form]) == 0
    assert capsysbinary.readouterr().out.count(b"cd" * 32) >= 1


def test_export_and_verify_a_bundle(told, capsys, tmp_path):
    path = tmp_path / "b.zip"
    assert run(capsys, "export", "churn:2", "--format", "bundle", "--out", str(path))[0] == 0
    code, out, err = run(capsys, "verify", str(path))
    assert (code, err) == (0, "")
    assert [int(line[2:6]) for line in out.splitlines() if line.startswith("ok")] == [*range(1, 11)]
    path.write_bytes(path.read_bytes()[:-40])
    code, out, err = run(capsys, "verify", str(path))
    assert code == 1
    assert err.count("\n") == 1
    assert "step 1" in err


def test_fsck_reindex_status_and_settings(told, capsys):
    assert run(capsys, "fsck")[0] == 0
    assert run(capsys, "reindex")[0] == 0
    code, out, _ = run(capsys, "status")
    assert code == 0
    assert out.count("did:key:z6Mk") >= 2
    code, out, _ = run(capsys, "settings")
    assert code == 0
    assert out.count("query_timeout_s") == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["show", "nothing-like-it"], "nothing here is called 'nothing-like-it'"),
        (["show", ""], "expected the name of a thing"),
        (["lineage", "churn:9"], "nothing here is called 'churn:9'"),
        (["query", "Q99"], "no query is called 'Q99'"),
        (["query", "Q02"], "needs model"),
        (["query", "Q02", "--param", "modle=x"], "has no parameter 'modle'"),
        (["query", "Q02", "--param", "model"], "expected NAME=VALUE"),
        (["sparql", "SELECT"], "syntax error"),
        (["sparql", "SELECT * { SERVICE <http://e.org/> { ?s ?p ?o } }"], "SERVICE is refused"),
        (["sparql", "@/no/such/file"], "cannot read /no/such/file"),
        (["export", "churn:2", "--format", "bundle"], "a bundle needs --out"),
        (["verify", "/no/such/bundle.zip"], "no bundle at /no/such/bundle.zip"),
    ],
)
def test_a_users_mistake_is_one_clear_line_and_code_2(told, capsys, arguments, says):
    code, out, err = run(capsys, *arguments)
    assert code == 2
    assert says in err
    assert "Traceback" not in out + err


def test_a_value_never_becomes_syntax(told, capsys):
    hostile = 'x" } UNION { ?s ?p ?o } #'
    assert rows(capsys, "query", "Q13", "--param", f"experiment={hostile}") == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["Q02", "model=churn:2"], ""),
        (["Q13", "experiment=never"], "no sealed run names this experiment"),
        (["Q19", "dataset=churn:1"], ""),
        (["Q22", "before=churn:2", "after=churn:2"], "the two differ in nothing that was recorded"),
    ],
)
def test_no_rows_say_what_that_means_for_the_question(told, capsys, arguments, says):
    name, *values = arguments
    _, out, _ = run(capsys, "query", name, *[f"--param={value}" for value in values])
    assert out.count("no rows: ") == (1 if says else 0)
    assert out.count(f"no rows: {says}") == (1 if says else 0)


def test_who_put_what_where_is_listed(told, capsys):
    (found,) = rows(capsys, "list", "deployments")
    assert (found["stage"], found["by"][-17:]) == ("production", "ada%40example.org")
    _, out, _ = run(capsys, "list", "deployments")
    assert out.count("ada@example.org") == 1
    assert out.count("1 deployment at ledger size") == 1


def test_the_command_for_the_auditor_can_be_pasted(told, capsys, tmp_path):
    path = tmp_path / "b of 'mine'.zip"
    _, out, _ = run(capsys, "export", "churn:2", "--format", "bundle", "--out", str(path))
    (command,) = [line.partition(": ")[2] for line in out.splitlines() if "verify" in line]
    assert shlex.split(command) == ["provgraph", "verify", str(path)]


def test_an_input_without_a_digest_is_shown_with_the_reason(home, capsys, monkeypatch):
    monkeypatch.setenv("PROVGRAPH_STRICT", "off")
    with provgraph.run("lost", owner="ada") as going:
        going.use("/absent.csv", role="train")
        going.generate("/nothing.bin", role="model")
    _, out, _ = run(capsys, "show", "lost")
    assert out.count("missing digest: no such file: /absent.csv") == 1
    assert out.count("nothing.bin") == 1


def test_declared_files_that_are_not_there_are_said(home, capfd):
    command = ["exec", "--owner", "a", "--in", "no.csv", "--out", "model=no.bin", "--", "true"]
    assert main(command) == 0
    err = capfd.readouterr().err
    assert err.count("--in no.csv has no digest: no such file: ") == 1
    assert err.count("--out no.bin has no digest: no such file: ") == 1


def test_an_empty_home_says_what_to_do(home, capsys):
    for command in (
        ["list"],
        ["show", "x"],
        ["status"],
        ["fsck"],
        ["query", "Q13", "--param", "experiment=x"],
    ):
        code, _, err = run(capsys, *command)
        assert code == 2
        assert "recorded" in err or "no ledger" in err


def test_a_home_that_is_a_file_and_a_broken_config_are_said(home, capsys):
    home.parent.mkdir(exist_ok=True)
    home.write_text("")
    code, _, err = run(capsys, "list")
    assert (code in {1, 2}, "Traceback" in err) == (True, False)
    home.unlink()
    home.mkdir()
    (home / "config.toml").write_text("owner = ")
    code, _, err = run(capsys, "list")
    assert code == 2
    assert "not valid TOML" in err


def test_an_unwritable_place_is_said(told, capsys):
    code, _, err = run(capsys, "export", "churn:2", "--out", "/proc/none/x")
    assert code == 1
    assert "cannot write /proc/none/x" in err


def test_a_newcomer_who_types_only_the_name_sees_what_there_is(capsys):
    code, out, err = run(capsys)
    assert (code, err) == (0, "")
    listed = [line.split()[0] for line in out.splitlines() if line.startswith("    ")]
    assert listed == [command.name for command in COMMANDS]


@pytest.mark.parametrize("command", [command.name for command in COMMANDS])
def test_help_has_an_example(command):
    done = subprocess.run([*PROGRAM, command, "--help"], capture_output=True, text=True, check=True)
    assert "Example: " in " ".join(done.stdout.split())


def test_output_into_a_pipe_that_closes_and_into_ascii(told):
    command = " ".join(f"'{word}'" for word in [*PROGRAM, "query", "Q11", "--param", "run=churn:2"])
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command} | head -1"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    environ = {"PYTHONIOENCODING": "ascii", "LC_ALL": "C", "PYTHONUTF8": "0"}
    done = subprocess.run(
        [*PROGRAM, "lineage", "churn:2"],
        env={"PROVGRAPH_HOME": str(told), "PATH": "/usr/bin:/bin", **environ},
        capture_output=True,
        check=False,
    )
    assert (done.returncode, b"Traceback" in done.stderr) == (0, False)


def test_a_going_run_is_shown_from_its_journal(home, capsys):
    with provgraph.run("long one", owner="a") as run_:
        run_.log_params(depth=6)
        command = [*PROGRAM, "show", "long one", "--format", "json"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        shown = json.loads(done.stdout)
        assert (shown["status"], shown["parameters"]) == ("going", {"depth": 6})
        listed = subprocess.run(
            [*PROGRAM, "list", "runs"], capture_output=True, text=True, check=True
        )
        assert f"going: long one  {run_.id}" in listed.stdout


def test_the_exported_bundle_is_of_this_ledger(told, tmp_path, capsys):
    path = tmp_path / "folder"
    assert run(capsys, "export", "churn:2", "--format", "bundle", "--out", str(path))[0] == 0
    bundle = verify_bundle(path, report=lambda *_: None)
    assert load().home == told
    assert bundle.root.endswith("cd" * 32)
