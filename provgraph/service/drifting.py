"""Drift origin over a ledger: which two ends are meant, what is known of them, and the verdict's record.

Order: 1. what the user calls the drifted end becomes a run or an observation; 2. its baseline is what was
said, else the healthy run or window before it; 3. runs and windows before the baseline are the history,
those that failed or are retracted left out; 4. the graphs behind all of them become facts
(`provgraph.drift.reading`), with profiles from the ledger's attachments; 5. the engine decides; 6. the
verdict is sealed as a record, with the size and root of the ledger that it was computed over.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from provgraph import __version__, resources, vocab
from provgraph.capture.identifiers import new_id
from provgraph.capture.sinks import Receipt
from provgraph.digests import Digest, sha256_bytes
from provgraph.drift.facts import Case, End
from provgraph.drift.graphs import Facts, plain
from provgraph.drift.reading import read_end
from provgraph.drift.verdict import Verdict, decide
from provgraph.errors import ErasedError, NotFoundError, UsageError
from provgraph.frozen import as_dict, dataclass, replace
from provgraph.ledger.reading import LedgerReader
from provgraph.query.lineage import Select
from provgraph.records import Agent
from provgraph.service.home import utc_now
from provgraph.service.recording import write_record
from provgraph.settings import Settings
from provgraph.terms import Term, iri, string
from provgraph.verdicts import DriftCandidate, DriftVerdict
from provgraph.vocab import PROV_T, C, P

MAX_HISTORY: Final = 12
MAX_RUNS_BEHIND: Final = 400
"""Of one end: more than these, and what lies farther back is left out, which the verdict says."""
MAX_CANDIDATES: Final = 13


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A verdict with the facts that it rests on."""

    verdict: Verdict
    case: Case
    ledger_size: int


def find_origin(
    ends: Ends,
    subject: str,
    *,
    baseline: str | None = None,
    metric: str | None = None,
    ledger_size: int,
) -> Found:
    """Judge whether and where a drop began.

    Args:
        ends: finds and reads them.
        ledger_size: what the index holds.
        subject: what got worse: a model, a run or an observation, as `provgraph show` takes it.
        baseline: what to compare with; None: the one before it.
        metric: the metric in question; None: the main one that both have.

    Raises:
        NotFoundError: one of the ends is not known, or has nothing to compare with.
        UsageError: both ends are the same, or not of a kind that can drift.
    """
    after = ends.locate(subject)
    before = None if baseline is None else ends.locate(baseline)
    if before is not None and before.iri == after.iri:
        raise UsageError(
            f"{subject} and {baseline} are the same {after.kind} ({after.iri}); name two of them"
        )
    line = ends.line(after, metric)
    if before is None:
        if not line:
            raise NotFoundError(
                f"nothing earlier is recorded that {subject} could be compared with; name a baseline:"
                f" provgraph drift {subject} --baseline …"
            )
        before = line[-1]
    # The history is what was healthy up to the baseline: later runs may have drifted already.
    place = [each.iri for each in line].index(before.iri) if before in line else len(line)
    earlier = [each for each in line[:place] if each.iri != after.iri][-MAX_HISTORY:]
    drifted = ends.read(after, metric)
    wanted = metric or (None if drifted.measure is None else drifted.measure.metric)
    case = Case(
        before=ends.read(before, wanted),
        after=drifted,
        history=tuple(
            end for each in earlier if (end := ends.read(each, wanted)).measure is not None
        ),
    )
    return Found(verdict=decide(case), case=case, ledger_size=ledger_size)


def record_verdict(
    settings: Settings, ledger: LedgerReader, found: Found, *, by: str, replays: Sequence[str] = ()
) -> Receipt:
    """Seal a verdict into the ledger, with all its evidence as an attachment."""
    verdict = found.verdict
    details = json.dumps(
        verdict_json(verdict), sort_keys=True, ensure_ascii=False, indent=1
    ).encode()
    digest = sha256_bytes(details)
    record = DriftVerdict(
        id=new_id(),
        outcome=verdict.outcome,
        summary=verdict.summary,
        before=verdict.before,
        after=verdict.after,
        metric=verdict.drop.metric or None,
        usual=_finite(verdict.drop.usual),
        value=_finite(verdict.drop.value),
        z=_finite(verdict.drop.z),
        candidates=tuple(
            DriftCandidate(
                rank=place,
                category=each.category,
                status=each.status,
                confidence=round(each.confidence, 4),
                ranker_share=round(each.ranker_share, 4),
                rule_share=round(each.rule_share, 4),
                recovered=None if each.recovered is None else round(each.recovered, 4),
                subjects=each.subjects[:20],
                factor=each.factors[0] if each.factors else None,
            )
            for place, each in enumerate(verdict.candidates[:MAX_CANDIDATES], start=1)
        ),
        replays=tuple(replays),
        details=digest,
        ledger_size=found.ledger_size,
        root_hash=f"sha256:{ledger.root(found.ledger_size).hex()}",
        engine=f"provgraph {__version__}, drift {verdict.engine}, ranker {verdict.ranker}",
        by=Agent(name=by),
        at=utc_now(),
    )
    return write_record(settings, record, record_id=record.id, attachments={digest: details})


def verdict_json(verdict: Verdict) -> dict[str, Any]:
    """Return a verdict as JSON holds it: numbers that are none become null."""
    plain_verdict: dict[str, Any] = _plain(as_dict(verdict))
    return plain_verdict


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return None if not math.isfinite(value) else float(f"{value:.6g}")
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(f"{value:.6g}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Located:
    """What a user means as an end."""

    iri: str
    kind: str  # run | observation
    model: str | None = None  # the model in question


class Ends:
    """Finds and reads ends over one open ledger and its index.

    `select` shows what the caller may see: only records that it names are read.
    """

    def __init__(
        self,
        *,
        select: Select,
        ledger: LedgerReader,
        resolve: Callable[[str], list[str]],
        shows: Callable[[int], bool] = lambda _position: True,
    ) -> None:
        self._select, self._ledger, self._resolve, self._shows = select, ledger, resolve, shows
        self._graphs: dict[str, bytes] = {}
        self.erased: dict[str, str] = {}
        """Records of which nothing is left, with what the ledger says of it."""

    # ---- which end is meant ------------------------------------------------------------------------
    def locate(self, text: str) -> Located:
        """Return the run or observation that somebody means."""
        for found in self._resolve(text)[::-1]:
            located = self._locate(found)
            if located is not None:
                return located
        raise UsageError(
            f"{text} is neither a run nor a model nor an observation; drift is asked of those."
            " `provgraph list models` and `provgraph list runs` show some"
        )

    def _locate(self, thing: str) -> Located | None:
        prefix = vocab.record_iri("")
        if thing.startswith(prefix):  # a receipt names the record of a run or observation
            same = thing.removeprefix(prefix)
            own = [vocab.run_iri(same), vocab.activity_iri("observation", same)]
            return next((found for each in own if (found := self._locate(each))), None)
        kinds = self._kinds(thing)
        if "Observation" in kinds:
            model = self._values(thing, P["model"])
            return Located(iri=thing, kind="observation", model=model[0] if model else None)
        if "Run" in kinds:
            return Located(iri=thing, kind="run")
        if "DriftEvent" in kinds:
            of = self._values(thing, P["observation"])
            return self._locate(of[0]) if of else None
        if "Step" in kinds:
            runs = self._values(thing, P["partOfRun"])
            return Located(iri=runs[0], kind="run") if runs else None
        makers = self._values(thing, PROV_T["wasGeneratedBy"])
        for maker in makers:
            located = self._locate(maker)
            if located is not None:
                return Located(iri=located.iri, kind="run", model=thing)
        return None

    def _kinds(self, thing: str) -> set[str]:
        names = {term: name for name, term in C.items()}
        rows = self._ask("types", end=iri(thing))
        return {names[row[0]] for row in rows if row[0] in names}

    def _values(self, thing: str, predicate: Term) -> list[str]:
        rows = self._ask("values", end=iri(thing), predicate=predicate)
        return [plain(row[0]) for row in rows if row[0] is not None]

    # ---- what came before it -----------------------------------------------------------------------
    def line(self, end: Located, metric: str | None) -> list[Located]:
        """Return comparable healthy ends before one, oldest first.

        Of an observation: earlier ones of that model in that metric, before them the run that made it.
        Of a run: completed runs of its name and project that began earlier.
        """
        if end.kind == "observation":
            return self._observed_before(end, metric)
        return self._run_before(end)

    def _observed_before(self, end: Located, metric: str | None) -> list[Located]:
        if end.model is None:
            return []
        own = None
        rows = [
            (plain(row[0]), plain(row[1]), plain(row[2]), row[3])
            for row in self._ask("observed", model=iri(end.model))
            if row[0] is not None and row[1] is not None and row[2] is not None
        ]
        for name, of, at, _ in rows:
            if name == end.iri:
                own = (of, at)
        wanted = metric or (own[0] if own else None)
        found = [
            Located(iri=name, kind="observation", model=end.model)
            for name, of, at, met in rows
            if of == wanted and own is not None and at < own[1]
            # What missed its own threshold is no healthy window, whatever came after it.
            if (met is None or plain(met) == "true") and not self._is_retracted(name)
        ]
        made = self._locate(end.model)
        return ([made] if made is not None else []) + found

    def _run_before(self, end: Located) -> list[Located]:
        (name, *_), project = self._labels(end.iri) or ("",), self._values(end.iri, P["project"])
        rows = self._ask("history", name=string(name))
        at = {
            plain(row[0]): plain(row[2])
            for row in rows
            if row[0] is not None and row[2] is not None
        }
        found = []
        for row in rows:
            if row[0] is None or row[3] is None:
                continue
            run, status = plain(row[0]), plain(row[3])
            same = [] if row[1] is None else [plain(row[1])]
            if (
                run != end.iri
                and status == "completed"
                and same == project[:1]
                and at.get(run, "") < at.get(end.iri, "")
                and not self._is_retracted(run)
            ):
                found.append(Located(iri=run, kind="run"))
        return found

    def _labels(self, thing: str) -> list[str]:
        return self._values(thing, vocab.LABEL)

    def _is_retracted(self, thing: str) -> bool:
        return bool(self._ask("retracted", end=iri(thing)))

    # ---- the facts of an end -----------------------------------------------------------------------
    def read(self, end: Located, metric: str | None) -> End:
        """Read an end with all runs behind it."""
        rows = self._ask("behind", end=iri(end.iri))
        runs = {
            plain(row[0]): plain(row[1])
            for row in rows
            if row[0] is not None and row[1] is not None
        }
        facts = Facts()
        for record in dict.fromkeys([*runs.values(), *self._records_of(end.iri)]):
            self._add(facts, record)
        for name in ("environment", "sourceCode"):
            for run in list(runs):
                for content in facts.all(iri(run), P[name]):
                    kind, digits = content[1:-1].rsplit("/", 2)[-2:]
                    self._add(facts, vocab.record_iri(f"{kind}-{digits}"))
        order = sorted(
            runs, key=lambda run: (facts.text(iri(run), PROV_T["startedAtTime"]) or "", run)
        )
        kept = [run for run in order if run != end.iri][-MAX_RUNS_BEHIND:]
        if end.kind == "run":
            kept.append(end.iri)
        made = read_end(
            facts,
            end=end.iri,
            runs=kept,
            read=self._attachment,
            metric=metric,
            model=end.model,
        )
        gone = [text for record, text in self.erased.items() if record in runs.values()]
        left_out = len(runs) - len(kept) if len(runs) > MAX_RUNS_BEHIND else 0
        if left_out:
            gone.append(f"{left_out} runs farther back are left out")
        return replace(made, missing=(*made.missing, *gone)) if gone else made

    def _attachment(self, digest: Digest) -> bytes:
        return self._ledger.attachment(digest)

    def _records_of(self, thing: str) -> list[str]:
        return [plain(row[0]) for row in self._ask("records", end=iri(thing)) if row[0] is not None]

    def _add(self, facts: Facts, record: str) -> None:
        if record not in self._graphs:
            position = self._ledger.find(record)
            if position is not None and not self._shows(position):
                position = None
            try:
                self._graphs[record] = b"" if position is None else self._ledger.graph(position)
            except ErasedError as error:
                self._graphs[record] = b""
                self.erased[record] = str(error)
        if self._graphs[record]:
            facts.add(self._graphs[record])

    def _ask(self, query: str, **values: Term) -> tuple[tuple[Term | None, ...], ...]:
        text = resources.read_text("queries", "drift", f"{query}.rq")
        for name, value in values.items():
            hole = f"VALUES ?{name} {{ UNDEF }}"
            text = text.replace(hole, f"VALUES ?{name} {{ {value} }}")
        return self._select(text).rows
