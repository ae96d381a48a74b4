"""What no pipeline should hand over, and all do once: the run goes on, and what is missing is said."""

from __future__ import annotations

import inspect
import logging
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from readback import facts_of, journals, ledger, runs, verified
from readback import settings as home_settings

import provgraph
from provgraph import vocab
from provgraph.capture.run import Run
from provgraph.capture.scope import StepScope
from provgraph.capture.things import Handle
from provgraph.errors import CaptureError
from provgraph.service.asking import open_reader
from provgraph.service.things import resolve


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


def used(facts, name: str) -> str:
    """The thing of that name that the run used."""
    (found,) = [
        each for each in facts.of(facts.run, "prov:used") if facts.of(each, "rdfs:label") == [name]
    ]
    return found


# ---- files ------------------------------------------------------------------------------------------------
def fifo(folder: Path) -> Path:
    os.mkfifo(folder / "pipe")
    return folder / "pipe"


def dangling(folder: Path) -> Path:
    (folder / "link").symlink_to(folder / "nowhere")
    return folder / "link"


def loop(folder: Path) -> Path:
    (folder / "loop").symlink_to(folder / "loop")
    return folder / "loop"


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda folder: folder / "absent.csv", "no such file: {}"),
        (dangling, "no such file: {}"),
        (loop, "cannot read {}: Too many levels of symbolic links"),
        (fifo, "cannot digest {}: neither a regular file nor a folder"),
        (lambda _: Path("/dev/null"), "cannot digest {}: neither a regular file nor a folder"),
        (lambda _: Path("/proc/self/mem"), "cannot read {}: Input/output error"),
        (lambda folder: folder / ("x" * 300), "cannot read {}: File name too long"),
        (lambda folder: folder / "nul\0", "ValueError: "),
    ],
    ids=["absent", "dangling", "loop", "fifo", "device", "unreadable", "too long", "nul"],
)
def test_a_path_that_cannot_be_read_is_kept_by_name(careful_home, tmp_path, caplog, make, reason):
    path = make(tmp_path)
    with provgraph.run("train", owner="ada") as run:
        handle = run.use(path, role="train")
        model = run.generate(path, role="model", name="churn", version="1")
        run.evaluate(model, handle, metric="auc", value=0.5)
    assert (handle.digest, model.digest) == (None, None)
    facts = facts_of(run.receipt)
    thing = used(facts, facts_of(run.receipt).one(used_name(facts), "rdfs:label"))
    assert facts.of(thing, "digest") == []
    ((field, found),) = facts.parts(thing, "missing", "field", "reason")
    assert field == "digest"
    assert str(found).startswith(reason.format(path))
    assert any(str(found) in line for line in said(caplog))
    assert len(facts.all("Evaluation")) == 1
    assert facts.one(facts.run, "status") == "completed"


@pytest.mark.parametrize(
    ("wrong", "field", "reason"),
    [
        ({"threshold": "about 0.9"}, "auc threshold", "expected a number or a comparison"),
        ({"interval": (0.8,)}, "auc interval", "expected (low, high[, level]), found 1 values"),
        ({"interval": 0.8}, "auc interval", "TypeError: 'float' object is not iterable"),
        ({"n": 10.5}, "auc n", "expected a whole number, found float 10.5"),
    ],
)
def test_an_argument_of_an_evaluation_that_makes_no_sense_costs_only_itself(
    careful_home, caplog, wrong, field, reason
):
    arguments = {"interval": (0.8, 0.95), "n": 10, "threshold": 0.7} | wrong
    with provgraph.run("train", owner="ada") as run:
        run.evaluate(None, None, metric="auc", value=0.9, **arguments)
    facts = facts_of(run.receipt)
    (evaluation,) = facts.all("Evaluation")
    assert facts.one(evaluation, "value") == "0.9"
    kept = {"intervalLow": "0.8", "sampleSize": "10", "threshold": ">= 0.7"}
    lost = {"interval": "intervalLow", "n": "sampleSize", "threshold": "threshold"}[
        next(iter(wrong))
    ]
    assert {name: facts.one(evaluation, name) for name in kept} == kept | {lost: None}
    assert facts.missing(facts.run)[field].startswith(reason) == True  # noqa: E712
    assert [line for line in said(caplog) if field in line] != []


def used_name(facts) -> str:
    (node,) = facts.of(facts.run, "prov:qualifiedUsage")
    return str(facts.one(node, "prov:entity"))


@pytest.mark.usefixtures("home")
def test_under_pytest_a_missing_file_is_an_error():
    with provgraph.run("train", owner="ada") as run:
        with pytest.raises(CaptureError, match="no such file: /absent"):
            run.use("/absent")
        with pytest.raises(CaptureError, match="expected a path, found an empty text"):
            run.use("")


def test_a_file_that_may_not_be_read(careful_home, tmp_path, caplog):
    if os.geteuid() != 0:
        pytest.skip("becoming another user takes root")
    closed = tmp_path / "closed.csv"
    closed.write_bytes(b"x")
    closed.chmod(0o000)
    for folder in (tmp_path, *tmp_path.parents[:2]):  # pytest's own, and not the /tmp above
        folder.chmod(0o755)
    with provgraph.run("train", owner="ada") as run:
        run.use(__file__)
        os.seteuid(65534)
        try:
            handle = run.use(closed)
        finally:
            os.seteuid(0)
    reason = f"cannot read {closed}: Permission denied"
    assert handle.entity.missing[0].reason == reason
    assert said(caplog) == [f"provgraph: digest of closed.csv: {reason}"]
    assert run.receipt is not None


def test_a_file_that_changes_while_it_is_read(careful_home, tmp_path, caplog):
    path = tmp_path / "growing.bin"
    with path.open("wb") as file:
        file.truncate(300_000_000)  # reading takes long enough for a write, however busy we are
    stop = threading.Event()

    def grow() -> None:
        with path.open("ab", buffering=0) as file:
            while not stop.is_set():
                file.write(b"y")

    thread = threading.Thread(target=grow)
    thread.start()
    try:
        with provgraph.run("train", owner="ada") as run:
            handle = run.use(path)
    finally:
        stop.set()
        thread.join()
    reason = f"{path} changed while it was being read; record it once it is whole"
    assert handle.digest is None
    assert handle.entity.missing[0].reason == reason
    assert f"provgraph: digest of growing.bin: {reason}" in said(caplog)
    assert run.receipt is not None


# ---- objects ------------------------------------------------------------------------------------------------
class Estimator:
    def __repr__(self) -> str:
        raise RuntimeError("no repr")


def test_an_object_that_cannot_be_digested_is_kept_by_name_and_said(careful_home, caplog):
    with provgraph.run("train", owner="ada") as run:
        handle = run.generate(Estimator(), role="model", name="churn")
        run.use([np.zeros(3), object()], name="mixed")
    facts = facts_of(run.receipt)
    assert handle.digest is None
    (model,) = facts.all("Model")
    assert facts.of(model, "rdfs:label") == ["churn"]
    ((_, reason),) = facts.parts(model, "missing", "field", "reason")
    assert str(reason).startswith("no digest by content is known for such an object")
    assert f"provgraph: digest of churn: {reason}" in said(caplog)
    ((_, reason),) = facts.parts(used(facts, "mixed"), "missing", "field", "reason")
    assert "member 1 is a object object, which has no digest by content" in str(reason)


# ---- versions ------------------------------------------------------------------------------------------------
def test_a_version_that_already_names_other_bytes(careful_home, caplog):
    models = [b"first", b"second", b"first"]
    for data in models:
        with provgraph.run("train", owner="ada") as run:
            run.generate(data, role="model", name="churn", version="3")
    found = runs()
    first, second, again = (facts.all("Model")[0] for facts in found)
    assert first == again != second
    label = "churn:3 already names other bytes"
    assert "one content for churn:3" not in found[0].missing()
    reason = found[1].missing()["one content for churn:3"]
    assert reason == (
        f"{label} ({first.rsplit('/', 1)[-1][:16]}…, ledger position"
        f" {position_of(found[0])}); both are kept, say which by digest"
    )
    assert found[2].missing()["one content for churn:3"].startswith(label)
    assert said(caplog)[0] == f"provgraph: {reason}"
    with ledger() as opened:
        assert resolve(opened, "churn:3").iris == tuple(sorted({first, second}))
    # A fact about the ambiguous name is recorded as such, and one about the digest is not.
    provgraph.deploy("churn:3", stage="production", by="ada")
    assert "churn:3 names 2 different contents; say which by digest" in said(caplog)[-1]


def position_of(facts) -> int:
    with ledger() as opened:
        return next(each.index for each in opened.records() if each.graph_nq == facts.canonical)


def test_a_version_that_names_two_contents_in_one_run(careful_home, caplog):
    with provgraph.run("train", owner="ada") as run:
        for data in (b"first", b"second"):
            run.generate(data, role="model", name="churn", version="3")
    facts = facts_of(run.receipt)
    assert len(facts.all("Model")) == 2
    reason = facts.missing()["one content for churn:3"]
    assert "this record); both are kept, say which by digest" in reason
    assert said(caplog) == [f"provgraph: {reason}"]


# ---- names ----------------------------------------------------------------------------------------------------
NAMES = [
    "two words",
    "quo\"ted 'twice'",
    "back\\slash",
    "emoji 🚀🧑‍🔬",
    "\u202eright to left\u202c العربية",
    "control \x01\x1f\x7f\x85 characters",
    "line\nbreak\rand\ttab",
    "nul \0 inside",
    "lone \ud800 surrogate \udfff",
    "not a character \ufffe\uffff",
    "private \ue000\uf8ff use",
    "heart ❤️ with a selector",
    "slash/and/more",
    "colon:and:more",
    "<iri> {brackets} |pipe| ^caret` %41 # ?",
    "e\u0301 decomposed and é composed",
    " ",
    "x" * 9000,
]


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_a_name_of_any_characters_is_recorded_and_found_again(name):
    # What no UTF-8 can hold, and what is no character, is shown as the replacement character.
    unwritable = {*map(chr, range(0xD800, 0xE000)), "\ufffe", "\uffff"}
    shown = "".join("\ufffd" if character in unwritable else character for character in name)
    with provgraph.run(
        name, project=name, experiment=name, owner=name, plan=name, tags={name: name}
    ) as run:
        run.use(b"data", name=name, version=name, role=name, vendor=name, collector=name)
        run.generate(b"model", role="model", name=name, version=name)
        run.note(name)
        run.missing(name, name)
        run.evaluate(None, None, metric=name, value=1, slice=name)
        with run.step(name, **{name: name}) as step:
            step.filter(name, reason=name)
    facts = facts_of(run.receipt)
    texts = [
        *(facts.one(facts.run, each) for each in ("rdfs:label", "project", "experiment")),
        facts.tags()[shown],
        facts.missing()[shown],
        facts.parts(facts.run, "note", "text")[0][0],
        facts.one(facts.all("Evaluation")[0], "slice"),
        facts.one(facts.all("Model")[0], "rdfs:label"),
        facts.one(facts.all("Step")[0], "rdfs:label"),
    ]
    assert texts == [shown] * len(texts)
    assert facts.parameters(facts.all("Step")[0]) == {shown: shown}
    with open_reader(home_settings()) as reader:
        assert reader.index.graph(run.receipt.record) == facts.canonical
        if name.strip():
            (model,) = facts.all("Model")
            assert resolve(reader.ledger, f"model/{name}:{name}".strip()).iris == (model,)
    verified()


def test_characters_that_verifiers_sort_differently_are_written_as_escapes(home):
    # Above U+FFFF, UTF-16 sorts by surrogates, below U+E000: these two lines change places.
    both = ["\uff01 fullwidth", "🚀 astral"]
    with provgraph.run("train", owner="ada") as run:
        for name in both:
            run.use(b"same bytes", name=name)
        run.note("\uff01")
    facts = facts_of(run.receipt)
    (content,) = facts.all("File")
    assert facts.of(content, "rdfs:label") == ["\\uFF01 fullwidth", "🚀 astral"]
    assert facts.parts(facts.run, "note", "text") == [("\\uFF01",)]
    with open_reader(home_settings()) as reader:
        assert reader.index.graph(run.receipt.record) == facts.canonical
        for name in both:
            assert resolve(reader.ledger, name).iris == (content,)
    with provgraph.run("train", owner="ada") as run:
        run.use(b"same bytes", name=both[0])
    assert facts_of(run.receipt).of(content, "rdfs:label") == ["\uff01 fullwidth"]


# ---- arguments ---------------------------------------------------------------------------------------------------
def test_unknown_arguments_are_kept_as_notes_and_said(careful_home, caplog):
    with provgraph.run("train", owner="ada", colour="red") as run:
        run.use(b"x", name="x", licence="MIT", split="train")
        run.generate(b"y", name="y", api_key="hunter2")
        run.evaluate(None, None, metric="auc", value=0.5, fold=3)
    facts = facts_of(run.receipt)
    assert facts.parts(facts.run, "note", "text") == [
        ("run colour=red",),
        ("use split=train",),
        ("generate api_key=[redacted]",),
        ("evaluate fold=3",),
    ]
    assert said(caplog) == [
        "provgraph: run: unknown argument 'colour' was kept as a note",
        "provgraph: use: unknown argument 'split' was kept as a note",
        "provgraph: generate: unknown argument 'api_key' was kept as a note",
        "provgraph: evaluate: unknown argument 'fold' was kept as a note",
    ]


@pytest.mark.usefixtures("home")
def test_under_pytest_an_unknown_argument_is_an_error():
    with provgraph.run("train", owner="ada") as run:
        with pytest.raises(CaptureError, match="use: unknown argument 'split'; see help"):
            run.use(b"x", name="x", split="train")
    with pytest.raises(CaptureError, match="run: unknown argument 'colour'"):
        provgraph.run("train", colour="red").__enter__()
    # That run did not begin, and nothing of it is left.
    assert (len(runs()), journals(), provgraph.current_run()) == (1, [], None)
    assert "PROVGRAPH_PARENT_RUN" not in os.environ


def test_wrong_calls_of_methods_do_not_raise(careful_home, caplog):
    with provgraph.run("train", owner="ada") as run:
        run.use()
        run.generate()
        run.log_params(1, 2, 3)
        run.log_params([1])
        run.log_metrics(0.5)
        run.note()
        run.missing("x")
        run.evaluate()
        run.log_tags("x")
        with run.step("s") as step:
            step.rows(1, 2)
            step.filter()
        run.log_params(depth=6)
    facts = facts_of(run.receipt)
    assert facts.parameters() == {"depth": "6"}
    assert [line.split(": ")[2] for line in said(caplog)] == [
        *("use", "generate", "log params", "log params", "log metrics", "note", "missing"),
        *("evaluate", "log tags", "rows", "filter"),
    ]
    assert facts.missing_reason("use").endswith("missing 1 required positional argument: 'thing'")
    step = facts.step("s")
    assert {field for field, _ in facts.parts(step, "missing", "field", "reason")} == {
        *("rows", "filter")
    }


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"rank": "first"}, "rank"),
        ({"world_size": 2.5}, "world_size"),
        ({"owner": Estimator()}, "owner"),
        ({"project": Estimator()}, "project"),
        ({"name": Estimator()}, "name"),
        ({"parent": Estimator()}, "parent"),
        ({"resume": Estimator()}, "resumes"),
        ({"tags": 5}, "log tags"),
        ({"tags": ["a"]}, "log tags"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_what_a_run_cannot_be_given_costs_only_itself(careful_home, caplog, given, field):
    with provgraph.run(**{"name": "train", "owner": "ada", **given}) as run:
        run.log_params(depth=6)
    facts = facts_of(run.receipt)
    assert facts.parameters() == {"depth": "6"}
    assert field in facts.missing()
    assert [line for line in said(caplog) if f"not recorded: {field}: " in line] != []


class BadHandler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        raise RuntimeError("a handler of the user that is broken")


def test_a_logging_handler_that_raises_does_not_reach_the_caller(careful_home):
    handler = BadHandler()
    logging.getLogger("provgraph").addHandler(handler)
    try:
        with provgraph.run("train", owner="ada") as run:
            run.use("/absent")
            run.log_metrics(loss="high")
    finally:
        logging.getLogger("provgraph").removeHandler(handler)
    assert facts_of(run.receipt).missing()["metric loss"] == ("expected a number, found str 'high'")


# ---- settings ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (b"owner = ", "is not valid TOML"),
        (b"\xff\xfe", "UnicodeDecodeError"),
        (b"surprise = 1", "unknown setting 'surprise'"),
        (b'enabled = "perhaps"', "setting enabled: expected one of on|off, found 'perhaps'"),
    ],
)
def test_a_broken_config_turns_capture_off_and_says_so(careful_home, caplog, config, reason):
    careful_home.mkdir()
    (careful_home / "config.toml").write_bytes(config)
    with provgraph.run("train", owner="ada") as run:
        assert run.use("/absent") == Handle(run.use("/absent").entity)
        run.log_params(depth=6)
        with run.step("clean") as step:
            step.rows(rows_in=1)
    assert run.receipt is None
    assert provgraph.deploy("churn", stage="production") is None
    assert len(said(caplog)) == 2
    assert said(caplog)[0].startswith("provgraph: nothing is recorded: ")
    assert reason in said(caplog)[0]
    assert os.listdir(careful_home) == ["config.toml"]


@pytest.mark.usefixtures("home")
def test_enabled_off_writes_nothing_and_says_nothing(home, monkeypatch, caplog):
    monkeypatch.setenv("PROVGRAPH_ENABLED", "off")
    with provgraph.run("train", unknown=1) as run:
        assert provgraph.current_run() is run
        assert "PROVGRAPH_PARENT_RUN" not in os.environ
        handle = run.use("/absent")
        run.log_metrics(loss="high")
        run.generate(object(), derived_from=handle)
        with run.step("clean") as step:
            step.filter("x")
    with pytest.raises(ZeroDivisionError), provgraph.run("train"):
        1 / 0
    assert provgraph.current_run() is None
    for later in (
        provgraph.deploy("m", stage="s"),
        provgraph.observe("m", metric="m", value="high"),
        provgraph.approve("m", by="ada", meaning="fit"),
        provgraph.retract("m", reason="r"),
    ):
        assert later is None
    assert (run.receipt, home.exists(), said(caplog)) == (None, False, [])


# ---- anything at all ---------------------------------------------------------------------------------------------
class Hostile:
    """An object whose every method fails."""

    def __getattribute__(self, name: str) -> object:
        if name == "__class__":
            return Hostile  # or not even hypothesis could hand it over
        raise (AttributeError if name.startswith("_") else RuntimeError)(f"no {name}")

    def __str__(self) -> str:
        raise RuntimeError("no str")

    __repr__ = __str__
    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no eq")

    def __bool__(self) -> bool:
        raise RuntimeError("no bool")

    def __float__(self) -> float:
        raise RuntimeError("no float")

    def __iter__(self) -> Iterator[object]:
        raise RuntimeError("no iter")


def _numbers() -> Iterator[int]:
    yield 1


ODDITIES = {
    "hostile": Hostile(),
    "estimator": Estimator(),
    "object": object(),
    "class": Hostile,
    "generator": _numbers(),
    "lock": threading.Lock(),
    "module": os,
    "array": np.arange(4),
    "scalar": np.float32(0.5),
    "exception": ValueError("x"),
    "path": Path("/absent"),
    "number": 10**5000,
    "nan": float("nan"),
}
# By their names: some of them cannot be shown.
ODD = st.sampled_from(sorted(ODDITIES)).map(lambda name: ODDITIES[name])
# No text that happens to name a real folder: digesting it all is not what is tested.
TEXTS = st.text(max_size=20).filter(lambda text: "\0" in text or not os.path.exists(text))
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS | st.binary(max_size=8) | ODD,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)


def call(function: object) -> st.SearchStrategy[tuple[list[object], dict[str, object]]]:
    """Arguments for a function: mostly by the names that it has, with anything as their values."""
    names = [
        name for name in inspect.signature(function).parameters if name not in {"self", "unknown"}
    ]
    keywords = st.dictionaries(st.sampled_from([*names, "surprise"]), ANYTHING, max_size=6)
    required = {
        name: ANYTHING
        for name, each in inspect.signature(function).parameters.items()
        if each.kind is each.KEYWORD_ONLY and each.default is each.empty
    }
    given = st.builds(dict.__or__, keywords, st.fixed_dictionaries(required))
    return st.tuples(st.lists(ANYTHING, max_size=2), given)


METHODS = {
    f"{scope}.{name}": getattr(cls, name)
    for scope, cls in (("run", Run), ("step", StepScope))
    for name in (
        *("use", "generate", "log_params", "log_metrics", "note", "missing"),
        *(("log_tags", "evaluate") if cls is Run else ("rows", "filter")),
    )
}
CALLS = st.lists(
    st.sampled_from(sorted(METHODS)).flatmap(
        lambda name: st.tuples(st.just(name), call(METHODS[name]))
    ),
    max_size=4,
)
LATER = st.sampled_from([provgraph.deploy, provgraph.observe, provgraph.approve, provgraph.retract])

fuzzing = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@fuzzing
@given(made=call(provgraph.run), calls=CALLS, step=call(Run.step))
def test_whatever_is_handed_over_the_run_goes_on_and_is_sealed(careful_home, made, calls, step):
    _, run_keywords = made
    step_arguments, step_keywords = step
    with provgraph.run(**run_keywords) as run:
        with run.step(*step_arguments[:1], **step_keywords) as inner:
            for method, (arguments, keywords) in calls:
                scope, _, name = method.partition(".")
                getattr({"run": run, "step": inner}[scope], name)(*arguments, **keywords)
        run.log_params(at_the_end=True)
    facts = facts_of(run.receipt)
    assert facts.parameters()["at_the_end"] == "true"
    assert facts.one(facts.run, "status") == "completed"
    assert len(facts.all("Step")) == 1
    assert journals() == []


@fuzzing
@given(later=LATER.flatmap(lambda function: st.tuples(st.just(function), call(function))))
def test_whatever_a_later_fact_is_handed_nothing_is_raised(careful_home, later):
    function, (arguments, keywords) = later
    function(*arguments, **keywords)
    assert journals() == []


class BadPath:
    def __fspath__(self) -> str:
        raise RuntimeError("no path")


def test_a_handle_of_a_fault_is_a_thing_of_which_nothing_is_known(careful_home):
    with provgraph.run("train", owner="ada") as run:
        lost = run.use(BadPath())
        run.evaluate(lost, lost, metric="auc", value=0.5)
    facts = facts_of(run.receipt)
    (evaluation,) = facts.all("Evaluation")
    model = str(facts.one(evaluation, "model"))
    assert model.startswith(f"{facts.run}#entity-")
    assert facts.parts(model, "missing", "field", "reason") == [
        ("digest", "what was handed over could not be recorded")
    ]
    assert vocab.ID in model
