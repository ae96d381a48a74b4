"""All nine questions over the story, row for row, and by a second SPARQL engine.

The expected rows are written by hand from `story.py`, in the order in which they are answered. A row
that should not be there (another attempt's inputs, the other project's flowers) fails as one that
is missing does, since whole answers are compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pytest
import rdflib
from data_story import ASKED as DATA_ASKED
from governance_story import ASKED as GOVERNANCE_ASKED
from rdflib.plugins.sparql import prepareQuery
from rdflib.util import from_n3
from story import Home, content, content_iri, graphs_of, home_at, run_iri, uuid_of

from provgraph import vocab
from provgraph.query import catalogue
from provgraph.query.answer_json import native
from provgraph.service.asking import Reader, open_reader

# rdflib warns about its own calls.
pytestmark = pytest.mark.filterwarnings("ignore:Dataset.*deprecated:DeprecationWarning")

ADA, GRACE = "ada@acme.example", "grace@acme.example"
PREPARE, FAILED, SECOND, THIRD = (run_iri(number) for number in (1, 2, 3, 4))
CLEAN, FEATURES, ENCODE, SPLIT = (f"{PREPARE}#step-{number}" for number in (1, 2, 3, 4))
EVALUATION_1 = f"{SECOND}#evaluation-1"
EVALUATION_2, EVALUATION_2_OLD_PEOPLE = f"{THIRD}#evaluation-1", f"{THIRD}#evaluation-2"
APPROVAL = vocab.activity_iri("approval", uuid_of(6))
DEPLOYMENT = vocab.activity_iri("deployment", uuid_of(7))
OBSERVATION = vocab.activity_iri("observation", uuid_of(8))
UNPINNED = "s3://acme/holidays.csv"
WITHDRAWN = "collected without notice to the callers"
CC_BY, APACHE = "https://spdx.org/licenses/CC-BY-4.0", "https://spdx.org/licenses/Apache-2.0"
A_COMMIT, B_COMMIT = "a" * 40, "b" * 40
NOT_IN_A_CONTAINER = "not in a container"

# Every question, of things that the story has an answer for and of some where it has none.
ASKED = (
    *(("Q01", {"model": name}) for name in ("churn:2", "sentences:3.1")),
    *(("Q02", {"model": name}) for name in ("churn:1", "churn:2", "flowers:1")),
    *(("Q10", {"run": name}) for name in ("churn:2", uuid_of(1))),
    *(("Q11", {"run": name}) for name in ("churn:1", "churn:2")),
    *(("Q12", {"run": name}) for name in ("churn:2", uuid_of(2))),
    ("Q13", {"experiment": "spring"}),
    *(("Q15", {"model": name}) for name in ("churn:2", "flowers:1")),
    *(("Q19", {"dataset": name}) for name in ("calls.csv", "sentences:3.1")),
    ("Q22", {"before": "churn:1", "after": "churn:2"}),
    ("Q22", {"before": "churn:2", "after": "churn:2"}),
    ("Q32", {}),
    ("Q32", {"thing": "churn:2"}),
)


def digest(name: str) -> str:
    return str(content(name))


@pytest.fixture(scope="module")
def home(story_folder) -> Home:
    return home_at(story_folder)


@pytest.fixture(scope="module")
def reader(home) -> Iterator[Reader]:
    with open_reader(home.settings) as opened:
        yield opened


@pytest.fixture(scope="module")
def second_engine(reader) -> rdflib.Dataset:
    dataset = rdflib.Dataset(default_union=True)
    for graph in graphs_of(reader.ledger).values():
        dataset.parse(data=graph, format="nquads")
    return dataset


def ask(reader: Reader, name: str, *, without: str = "", **values: str) -> list[tuple[object, ...]]:
    """Answer as tuples of Python values; columns named in `without` (by blanks) are left out."""
    answer = reader.ask(name, values)
    kept = [place for place, column in enumerate(answer.columns) if column not in without.split()]
    return [tuple(native(row[place]) for place in kept) for row in answer.rows]


def _ours(reader: Reader, text: str) -> list[tuple[object, ...]]:
    return [
        tuple(None if term is None else from_n3(term) for term in row)
        for row in reader.index.select(text).rows
    ]


def _sorted(rows: Iterable[Iterable[object]]) -> list[str]:
    return sorted(repr(tuple(row)) for row in rows)


@pytest.mark.parametrize(("name", "values"), ASKED)
def test_another_engine_gives_the_same_rows(reader, second_engine, name, values):
    text = catalogue.find(name).bind(values, resolve=reader._content)
    assert _sorted(_ours(reader, text)) == _sorted(second_engine.query(text))


@pytest.mark.parametrize("query", catalogue.catalogue(), ids=lambda query: query.id)
def test_another_engine_reads_the_file_as_it_stands(query, reader):
    columns = [str(name) for name in prepareQuery(query.text).algebra.PV]
    empty = query.text.replace("UNDEF", "<urn:none>")
    assert columns == list(reader.index.select(empty).columns)


def test_every_question_of_the_catalogue_is_asked_here():
    asked = {name for name, _ in (*ASKED, *DATA_ASKED, *GOVERNANCE_ASKED)}
    # Q21 has a story of its own, in test_drift_question.py.
    assert asked | {"Q21"} == {query.id for query in catalogue.catalogue()}


# ---- origin and data -----------------------------------------------------------------------------
def dataset(name, *facts):
    return ("Dataset", content_iri(name), name, digest(name), *(*facts, None, None, None, None)[:4])


def test_q01_everything_behind_a_model(reader):
    # churn:2 was tested on test.parquet, which is therefore not what it rests on; the failed
    # attempt, the second one with its parameters, and the flowers are no part of it either.
    found = ask(reader, "Q01", model="churn:2")
    expected = [
        (
            "Dataset",
            UNPINNED,
            None,
            None,
            None,
            None,
            None,
            "digest: named by URI only; the bytes were not fetched",
        ),
        dataset("calls.csv", "internal use only", "the telephone system", WITHDRAWN),
        dataset("clean.parquet"),
        dataset("customers.csv", CC_BY, "https://data.example/customers"),
        dataset("train.parquet"),
        ("Environment", "CPython 3.11.9 on Debian 12", "accelerators: no NVML on this machine"),
        ("Environment", "CPython 3.11.9 on Debian 12", None),
        (
            "FeatureSet",
            content_iri("features.parquet"),
            "churn-features",
            digest("features.parquet"),
            None,
            None,
            None,
            None,
        ),
        (
            "Model",
            content_iri("sentences.bin"),
            "sentences",
            digest("sentences.bin"),
            APACHE,
            "https://models.example/sentences",
            None,
            None,
        ),
        ("Organization", "Example Labs", None),
        ("ParameterSet", "depth=8 | rate=0.1", None),
        ("ParameterSet", "drop_na=true", None),
        ("ParameterSet", "method=one-hot", None),
        ("ParameterSet", "share=0.2", None),
        ("Person", ADA, None),
        ("Person", GRACE, None),
        ("Plan", "https://wiki.acme.example/churn-plan", *[None] * 6),
        ("Run", PREPARE, "prepare", *[None] * 4, f"container: {NOT_IN_A_CONTAINER}"),
        ("Run", THIRD, "train", *[None] * 4, f"container: {NOT_IN_A_CONTAINER}"),
        ("SourceCode", A_COMMIT, "https://git.example/churn"),
        ("SourceCode", B_COMMIT, "https://git.example/churn"),
        ("Step", CLEAN, "clean", *[None] * 5),
        ("Step", ENCODE, "encode", *[None] * 5),
        ("Step", FEATURES, "features", *[None] * 5),
        ("Step", SPLIT, "split", *[None] * 5),
    ]
    # Things named by their own content or by the namespace: by what they say, not by their IRI.
    short = {"Environment": (0, 2, 7), "Organization": (0, 2, 7), "ParameterSet": (0, 2, 7)}
    short |= {"Person": (0, 2, 7), "SourceCode": (0, 2, 5)}
    shown = [tuple(row[place] for place in short.get(row[0], range(8))) for row in found]
    assert shown == expected


def test_q01_of_the_first_version_has_neither_the_base_model_nor_the_other_owner(reader):
    found = ask(reader, "Q01", model="churn:1")
    assert [row[2] for row in found if row[0] in {"Dataset", "Model", "Person", "Run"}] == [
        "calls.csv",
        "clean.parquet",
        "customers.csv",
        "train.parquet",
        ADA,
        "prepare",
        "train",
    ]
    assert next(row[2] for row in found if row[0] == "ParameterSet") == "depth=6 | rate=0.1"
    assert [row[2] for row in found if row[0] == "SourceCode"] == [A_COMMIT]


def test_q01_of_the_other_project_has_nothing_of_ours(reader):
    found = ask(reader, "Q01", model="flowers:1", without="thing digest licence source withdrawn")
    assert found == [
        ("Dataset", "iris.csv", None),
        ("Environment", "CPython 3.11.9 on Debian 12", "accelerators: no NVML on this machine"),
        ("ParameterSet", "depth=2", None),
        ("Person", "otto@flowers.example", None),
        ("Run", "train", None),
    ]


def snapshot(role, name, rows, activity, *, label=None, withdrawn=None):
    label = label or name
    return (role, content_iri(name), label, rows, digest(name), "content", withdrawn, activity)


def test_q02_the_snapshots_by_role_with_unpinned_data_named_so(reader):
    expected = [
        snapshot("clean", "clean.parquet", 950, FEATURES),
        snapshot("features", "features.parquet", 950, SPLIT, label="churn-features"),
        ("lookup", UNPINNED, None, None, None, "none", None, THIRD),
        snapshot("raw", "calls.csv", 5000, PREPARE, withdrawn=WITHDRAWN),
        snapshot("raw", "calls.csv", 5000, CLEAN, withdrawn=WITHDRAWN),
        snapshot("raw", "customers.csv", 1000, PREPARE),
        snapshot("raw", "customers.csv", 1000, CLEAN),
        snapshot("test", "test.parquet", 190, THIRD),
        snapshot("train", "train.parquet", 760, THIRD),
    ]
    assert ask(reader, "Q02", model="churn:2") == expected
    first = [(*row[:7], SECOND if row[7] == THIRD else row[7]) for row in expected]
    assert ask(reader, "Q02", model="churn:1") == [row for row in first if row[0] != "lookup"]


def test_q02_of_other_models(reader):
    assert ask(reader, "Q02", model="flowers:1") == [
        snapshot("train", "iris.csv", 150, run_iri(5)),
    ]
    # Somebody else made it: what it was trained on is unknown, and no row says otherwise.
    assert ask(reader, "Q02", model="sentences:3.1") == []


# ---- run -----------------------------------------------------------------------------------------
def test_q10_parameters_and_seeds(reader):
    assert ask(reader, "Q10", run="churn:2") == [
        (THIRD, "train", "depth", 8),
        (THIRD, "train", "rate", 0.1),
        (THIRD, "train", "seed numpy", "7"),
        (THIRD, "train", "seed random", "7"),
    ]
    assert ask(reader, "Q10", run=uuid_of(1)) == [
        (CLEAN, "clean", "drop_na", True),
        (ENCODE, "encode", "method", "one-hot"),
        (PREPARE, "prepare", "seed numpy", "7"),
        (PREPARE, "prepare", "seed random", "7"),
        (SPLIT, "split", "share", 0.2),
    ]
    assert ask(reader, "Q10", run="flowers:1") == [(run_iri(5), "train", "depth", 2)]


def environment(run, numpy, *more):
    rows = [
        ("architecture", "x86_64", None),
        ("cpu", "Example CPU", None),
        ("cpuCount", 8, None),
        ("host", "trainer-1", None),
        ("implementationName", "CPython", None),
        ("kernel", "6.1.0", None),
        ("memoryBytes", 34359738368, None),
        ("missing", "container", NOT_IN_A_CONTAINER),
        ("operatingSystem", "Debian 12", None),
        ("package", "churnlib", "0.4 (editable /src/churnlib)"),
        ("package", "numpy", numpy),
        ("python", "3.11.9", None),
        *more,
    ]
    return [(run, *row) for row in sorted(rows, key=lambda row: (*row[:1], str(row[1])))]


def test_q11_the_environment_with_what_could_not_be_learned(reader):
    assert ask(reader, "Q11", run="churn:1") == environment(
        SECOND, "2.0.0", ("missing", "accelerators", "no NVML on this machine")
    )
    assert ask(reader, "Q11", run="churn:2") == environment(
        THIRD,
        "2.1.0",
        ("accelerator", "Example GPU", "85899345920 bytes of memory"),
        ("cudaVersion", "12.4", None),
        ("driverVersion", "550.1", None),
    )


def command(run, **facts):
    rows = {
        "ciJob": "https://git.example/churn/-/jobs/99",
        "ciSystem": "gitlab",
        "command": '["python", "train.py", "--seed", "7"]',
        "entryScript": "/src/churn/train.py",
        "entryScriptDigest": digest("train.py"),
        "host": "trainer-1",
        "missing": f"container: {NOT_IN_A_CONTAINER}",
        "repository": "https://git.example/churn",
        "untrackedCount": 0,
        "user": "ada",
        "variable": "OMP_NUM_THREADS=8",
        "workingFolder": "/src/churn",
    }
    return [(run, *row) for row in sorted((rows | facts).items())]


def test_q12_how_runs_were_started_and_how_they_ended(reader):
    person = f"{vocab.ID}person/acme/"
    assert ask(reader, "Q12", run="churn:2") == command(
        THIRD,
        branch="wider",
        commit=B_COMMIT,
        isDirty=True,
        diffDigest=digest("diff"),
        startedAtTime="2026-03-01T08:30:00Z",
        endedAtTime="2026-03-01T08:36:00Z",
        durationSeconds=360.0,
        status="completed",
        plan="https://wiki.acme.example/churn-plan",
        owner=f"{person}grace%40acme.example",
    )
    assert ask(reader, "Q12", run=uuid_of(2)) == command(
        FAILED,
        branch="main",
        commit=A_COMMIT,
        isDirty=False,
        startedAtTime="2026-03-01T08:10:00Z",
        endedAtTime="2026-03-01T08:11:00Z",
        durationSeconds=60.0,
        status="failed",
        reason="ValueError: learning rate must be positive (in fit, train.py:12)",
        owner=f"{person}ada%40acme.example",
    )


def test_q13_all_attempts_and_why_one_was_chosen(reader):
    assert ask(reader, "Q13", experiment="spring") == [
        (
            "2026-03-01T08:10:00Z",
            FAILED,
            "train",
            "churn",
            ADA,
            "failed",
            "ValueError: learning rate must be positive (in fit, train.py:12)",
            None,
            None,
            None,
            None,
        ),
        (
            "2026-03-01T08:20:00Z",
            SECOND,
            "train",
            "churn",
            ADA,
            "completed",
            None,
            "churn:1",
            None,
            None,
            None,
        ),
        (
            "2026-03-01T08:30:00Z",
            THIRD,
            "train",
            "churn",
            GRACE,
            "completed",
            None,
            "churn:2",
            "chosen: best on the whole",
            "approved: fit for production in the EU | deployed: production",
            None,
        ),
    ]
    assert ask(reader, "Q13", experiment="never") == []


# ---- evaluation and impact -----------------------------------------------------------------------
def test_q15_measured_later_and_logged(reader):
    answer = reader.ask("Q15", {"model": "churn:2"})
    rows = [
        {
            name: native(term)
            for name, term in zip(answer.columns, row, strict=True)
            if term is not None
        }
        for row in answer.rows
    ]
    assert rows == [
        {
            "kind": "evaluation",
            "metric": "accuracy",
            "value": 0.925,
            "low": 0.89,
            "high": 0.95,
            "level": 0.95,
            "method": "bootstrap, 1000 resamples",
            "n": 190,
            "threshold": ">= 0.9",
            "met": True,
            "data": content_iri("test.parquet"),
            "implementation": "sklearn.metrics.accuracy_score",
            "at": "2026-03-01T08:35:00Z",
            "evaluation": EVALUATION_2,
        },
        {
            "kind": "evaluation",
            "metric": "accuracy",
            "slice": "age >= 60",
            "value": 0.84,
            "n": 40,
            "threshold": ">= 0.85",
            "met": False,
            "data": content_iri("test.parquet"),
            "test": "exact binomial, p = 0.04",
            "at": "2026-03-01T08:35:00Z",
            "evaluation": EVALUATION_2_OLD_PEOPLE,
        },
        {
            "kind": "logged by the run",
            "metric": "loss",
            "value": 0.25,
            "method": "last of 3 logged, from 0.25 to 0.9",
            "evaluation": f"{THIRD}#series-1",
        },
        {
            "kind": "observation",
            "metric": "accuracy",
            "value": 0.78,
            "n": 500,
            "threshold": ">= 0.9",
            "met": False,
            "from": "2026-03-02T08:00:00Z",
            "to": "2026-03-03T08:00:00Z",
            "at": "2026-03-03T08:01:00Z",
            "evaluation": OBSERVATION,
        },
    ]


def test_q15_of_an_unmeasured_model_is_empty(reader):
    assert ask(reader, "Q15", model="flowers:1") == []


def test_q19_everything_downstream_and_who_answers_for_it(reader):
    # An observation without a name behind it has none here: nobody is made up.
    after_both = [
        ("Approval", APPROVAL, "fit for production in the EU", "production", GRACE),
        ("Deployment", DEPLOYMENT, "https://api.acme.example/churn", "production", ADA),
        ("Evaluation", EVALUATION_2_OLD_PEOPLE, "accuracy 0.84 on age >= 60", None, GRACE),
        ("Evaluation", EVALUATION_2, "accuracy 0.925", None, GRACE),
        ("Model", content_iri("churn-2.bin"), "churn", None, GRACE),
        ("Observation", OBSERVATION, "accuracy 0.78", None, None),
    ]
    found = ask(reader, "Q19", dataset="sentences:3.1", without="how replacedBy")
    assert found == after_both
    found = ask(reader, "Q19", dataset="calls.csv")
    assert {row[3] for row in found} == {"derived"}
    assert {(*row[:3], *row[4:6]) for row in found} == {
        *after_both,
        ("Evaluation", EVALUATION_1, "accuracy 0.88", None, ADA),
        ("Model", content_iri("churn-1.bin"), "churn", None, ADA),
        ("FeatureSet", content_iri("features.parquet"), "churn-features", None, ADA),
        *(
            ("Dataset", content_iri(name), name, None, ADA)
            for name in ("clean.parquet", "train.parquet", "test.parquet")
        ),
    }
    assert len(found) == 12


def test_q19_of_a_deployed_model_and_of_the_other_project(reader):
    assert [row[:2] for row in ask(reader, "Q19", dataset="churn:2")] == [
        ("Approval", APPROVAL),
        ("Deployment", DEPLOYMENT),
        ("Evaluation", EVALUATION_2_OLD_PEOPLE),
        ("Evaluation", EVALUATION_2),
        ("Observation", OBSERVATION),
    ]
    assert ask(reader, "Q19", dataset="iris.csv") == [
        (
            "Model",
            content_iri("flowers.bin"),
            "flowers",
            "derived",
            None,
            "otto@flowers.example",
            None,
        ),
    ]


def test_q22_what_changed_and_what_one_side_does_not_know(reader):
    assert ask(reader, "Q22", before="churn:1", after="churn:2") == [
        ("own run", "code", "branch", "before", "main"),
        ("own run", "code", "branch", "after", "wider"),
        ("own run", "code", "commit", "before", A_COMMIT),
        ("own run", "code", "commit", "after", B_COMMIT),
        ("own run", "code", "diffDigest", "after", digest("diff")),
        ("own run", "data", UNPINNED, "after", UNPINNED),
        ("own run", "data", "sentences", "after", digest("sentences.bin")),
        ("own run", "environment", "accelerator", "after", "Example GPU"),
        ("own run", "environment", "cudaVersion", "after", "12.4"),
        ("own run", "environment", "driverVersion", "after", "550.1"),
        ("own run", "package", "numpy", "before", "2.0.0"),
        ("own run", "package", "numpy", "after", "2.1.0"),
        ("own run", "parameter", "depth", "before", 6),
        ("own run", "parameter", "depth", "after", 8),
        ("own run", "person", "owner", "before", ADA),
        ("own run", "person", "owner", "after", GRACE),
        ("own run", "unknown", "accelerators", "before", "no NVML on this machine"),
    ]


def test_q22_of_one_model_and_itself_names_only_what_may_have_changed(reader):
    assert ask(reader, "Q22", before="churn:1", after="churn:1") == []
    assert ask(reader, "Q22", before="churn:2", after="churn:2") == [
        ("own run", "data", UNPINNED, "unknown", UNPINNED),
    ]
