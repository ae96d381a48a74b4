"""From the graphs of records to the facts of one end: slots, activities, measures, golden predictions.

An end is a run (with all runs behind it), the run that made a model, or an observation of a deployed
model. Paths of slots come from names of runs and steps and from roles, without dates and numbers, so
that the same place in two runs has the same path. What is not recorded is left out, never guessed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from provgraph import vocab
from provgraph.digests import Digest, sha256_bytes
from provgraph.drift.classify import category_of, side_of, stable
from provgraph.drift.facts import EVALUATED, TRAIN, Activity, End, Measure, Probe, Slot
from provgraph.drift.graphs import Facts, plain
from provgraph.errors import ProvgraphError
from provgraph.frozen import replace
from provgraph.profiles.codec import decode
from provgraph.profiles.profile import TableProfile
from provgraph.records import Scalar
from provgraph.terms import Term, iri
from provgraph.vocab import PROV_T, C, P

ReadAttachment = Callable[[Digest], bytes]
"""Raises a ProvgraphError where the bytes are not there (erased, never delivered)."""

MAX_GOLDEN: Final = 5000
_ENVIRONMENT: Final = (
    "python", "implementationName", "operatingSystem", "kernel", "architecture", "cpu",
    "driverVersion", "cudaVersion", "containerImage",
)  # fmt: skip
_QUIET: Final = frozenset({"kernel", "cpu", "operatingSystem", "implementationName"})


class Reader:
    """Makes an end of record graphs; one for one end."""

    def __init__(self, facts: Facts, read: ReadAttachment) -> None:
        self.facts, self._read = facts, read
        self.slots: dict[str, Slot] = {}
        self.activities: dict[str, Activity] = {}
        self.missing: list[str] = []
        self._of: dict[Term, str] = {}  # entity -> path of the slot that it fills
        self._makers: dict[Term, str] = {}  # entity -> path of the activity that made it
        self._profiles: dict[str, TableProfile | None] = {}

    # ---- runs and steps --------------------------------------------------------------------------
    def run(self, run: Term, *, path: str) -> None:
        """Read a run with its steps."""
        facts = self.facts
        record = self._records(run)
        for maker, its_path in self._activities(run, path):
            for entity in facts.made.get(maker, []):
                self._makers.setdefault(entity, its_path)
        for activity, its_path in self._activities(run, path):
            self._activity(activity, its_path, record)
        self._code(run, path, record)
        self._environment(run, path, record)
        seeds = sorted(facts.all(run, P["seed"]))
        if seeds:
            values: dict[str, Scalar] = {}
            for text in map(plain, seeds):
                name, _, value = text.partition("=")
                values[name] = value
            self._add(f"{path}:seed", "seed", "randomness", values=values, of=path, records=record)
        for unknown in facts.all(run, P["missing"]):
            field = facts.text(unknown, P["field"])
            if field is not None:
                self.missing.append(f"{path}: {field}: {facts.text(unknown, P['reason'])}")

    def _activities(self, run: Term, path: str) -> list[tuple[Term, str]]:
        found = [(run, path)]
        taken: dict[str, int] = {}
        queue = [(step, path) for step in self.facts.steps(run)]
        while queue:
            step, around = queue.pop(0)
            name = f"{around}/{stable(self.facts.label(step) or 'step')}"
            count = taken[name] = taken.get(name, 0) + 1
            own = name if count == 1 else f"{name}~{count}"
            if (step, own) not in found and all(step != known for known, _ in found):
                found.append((step, own))
                queue += [(inner, own) for inner in self.facts.steps(step)]
        return found

    def _activity(self, activity: Term, path: str, records: tuple[str, ...]) -> None:
        facts = self.facts
        roles = facts.roles(activity)
        used = [
            self._used(entity, roles.get(entity), path, records)
            for entity in facts.all(activity, PROV_T["used"])
            if facts.is_a(entity, "Dataset", "FeatureSet", "Model", "File")
        ]
        made = []
        makes_model = makes_features = False
        for entity in facts.made.get(activity, []):
            if not facts.is_a(entity, "Dataset", "FeatureSet", "Model", "File"):
                continue
            makes_model |= facts.is_a(entity, "Model")
            makes_features |= facts.is_a(entity, "FeatureSet")
            made.append(self._made(entity, path, records))
        self.activities[path] = Activity(path=path, used=tuple(used), made=tuple(made))
        self._settings(
            activity, path, records, makes_model=makes_model, makes_features=makes_features
        )

    def _used(self, entity: Term, role: str | None, path: str, records: tuple[str, ...]) -> str:
        known = self._of.get(entity)
        maker = self._makers.get(entity)
        if known is not None:
            slot = self.slots[known]
            if slot.side is None and (side := side_of(role, None)) is not None:
                self.slots[known] = replace(slot, side=side)
            return known
        name = role or stable(self.facts.label(entity) or "input")
        if maker is not None:
            return self._made(entity, maker, records)
        return self._data(entity, f"{path}:used.{name}", role, None, records)

    def _made(self, entity: Term, path: str, records: tuple[str, ...]) -> str:
        known = self._of.get(entity)
        if known is not None:
            return known
        role = self.facts.role_made(entity)
        name = role or stable(self.facts.label(entity) or "output")
        return self._data(entity, f"{path}:made.{name}", role, path, records)

    def _data(
        self, entity: Term, path: str, role: str | None, maker: str | None, records: tuple[str, ...]
    ) -> str:
        facts = self.facts
        while path in self.slots:  # two of one role: by name, then by number
            name = stable(facts.label(entity) or "other")
            path = f"{path}.{name}" if f"{path}.{name}" not in self.slots else f"{path}~"
        is_model = facts.is_a(entity, "Model")
        self.slots[path] = Slot(
            path=path,
            kind="model" if is_model else "data",
            digest=facts.text(entity, P["digest"]),
            iri=entity[1:-1],
            label=facts.label(entity),
            side=None if is_model else side_of(role, facts.label(entity)),
            made_by=maker,
            source=facts.text(entity, vocab.SOURCE) or facts.text(entity, vocab.SOURCE_TEXT),
            profile=None if is_model else self._profile(entity),
            records=records,
        )
        self._of[entity] = path
        return path

    def _settings(
        self,
        activity: Term,
        path: str,
        records: tuple[str, ...],
        *,
        makes_model: bool,
        makes_features: bool,
    ) -> None:
        by_category: dict[str, dict[str, Scalar]] = {}
        for parameters in self.facts.all(activity, P["parameters"]):
            for name, value in self.facts.values(parameters, vocab.PARAM).items():
                category = category_of(
                    name, activity=path, makes_model=makes_model, makes_features=makes_features
                )
                by_category.setdefault(category, {})[name] = value
        for category, values in by_category.items():
            kind = "seed" if category == "randomness" else "settings"
            self._add(f"{path}:{category}", kind, category, values=values, of=path, records=records)
        features: dict[str, Scalar] = {
            self.facts.label(node) or plain(node): self.facts.text(node, P["definition"]) or ""
            for node in self.facts.all(activity, P["feature"])
        }
        if features:
            self._add(
                f"{path}:features", "settings", "feature definition", values=features, of=path,
                records=records,
            )  # fmt: skip

    def _code(self, run: Term, path: str, records: tuple[str, ...]) -> None:
        facts = self.facts
        source = facts.one(run, P["sourceCode"])
        script = facts.text(run, P["entryScriptDigest"])
        syntax = facts.text(run, P["astDigest"])
        values: dict[str, Scalar] = {}
        if syntax is not None:
            values["syntax"] = syntax
        if script is not None:
            values["script"] = script
        if source is not None:
            for name in ("commit", "diffDigest", "untrackedDigest"):
                value = facts.text(source, P[name])
                if value is not None:
                    values[name] = value
        if values:
            self._add(f"{path}:code", "code", "code", values=values, records=records)

    def _environment(self, run: Term, path: str, records: tuple[str, ...]) -> None:
        facts = self.facts
        node = facts.one(run, P["environment"])
        if node is None:
            return
        values: dict[str, Scalar] = {}
        for name in _ENVIRONMENT:
            value = facts.text(node, P[name])
            if value is not None and name not in _QUIET:
                values[name] = value
        for package in facts.all(node, P["package"]):
            label, version = facts.label(package), facts.text(package, P["version"])
            if label is not None and version is not None:
                url = facts.text(package, P["originUrl"])
                values[f"package.{label}"] = version if url is None else f"{version} ({url})"
        if values:
            self._add(
                f"{path}:environment", "environment", "environment", values=values, records=records
            )

    def _add(
        self,
        path: str,
        kind: str,
        category: str,
        *,
        values: Mapping[str, Scalar],
        of: str | None = None,
        records: tuple[str, ...],
    ) -> None:
        text = json.dumps(values, sort_keys=True, default=str)
        self.slots[path] = Slot(
            path=path,
            kind=kind,
            category=category,
            digest=sha256_bytes(text.encode("utf-8", "replace")).value,
            of=of,
            values=dict(values),
            records=records,
        )

    def _records(self, subject: Term) -> tuple[str, ...]:
        record = self.facts.record.get(subject)
        return () if record is None else (record,)

    # ---- profiles, golden predictions ------------------------------------------------------------
    def _profile(self, subject: Term) -> TableProfile | None:
        node = self.facts.one(subject, P["columnProfile"])
        if node is None:
            return None
        return self.profile_named(node[1:-1].rsplit("/", 1)[-1])

    def profile_named(self, digits: str) -> TableProfile | None:
        """Return a profile by the digits of its digest; None, and noted, where it cannot be read."""
        if digits not in self._profiles:
            try:
                data = self._read(Digest(algorithm="sha256", value=digits))
                self._profiles[digits] = decode(data)
            except ProvgraphError as error:
                self.missing.append(f"profile {digits[:12]}…: {error}")
                self._profiles[digits] = None
        return self._profiles[digits]

    def probe(self, run: Term) -> Probe | None:
        """Return the predictions on a golden set, None where there are none."""
        for node in self.facts.all(run, P["golden"]):
            name, attached = (
                self.facts.text(node, P["goldenSet"]),
                self.facts.one(node, P["attachment"]),
            )
            if name is None or attached is None:
                continue
            try:
                data = self._read(
                    Digest(algorithm="sha256", value=attached[1:-1].rsplit("/", 1)[-1])
                )
                found = json.loads(data)
                values = found["predictions"]
            except (ProvgraphError, ValueError, KeyError, TypeError) as error:
                self.missing.append(f"golden predictions {name}: {error}")
                continue
            if isinstance(values, dict):
                values = [values[key] for key in sorted(values)]
            plain_values = tuple(
                value if isinstance(value, (str, int, float, bool)) else json.dumps(value)
                for value in values[:MAX_GOLDEN]
            )
            return Probe(name=name, predictions=plain_values)
        return None

    # ---- measures --------------------------------------------------------------------------------
    def measures(self, run: Term) -> tuple[list[Measure], dict[Measure, Term]]:
        """Return what a run measured, and the node that says so."""
        facts, found = self.facts, {}
        for node in facts.made.get(run, []):
            if facts.is_a(node, "Evaluation"):
                measure = self.measure(node)
                if measure is not None:
                    found[measure] = node
                found |= dict.fromkeys(self._standard(node), node)
        for metrics in facts.all(run, P["metrics"]):
            for name, value in facts.values(metrics, vocab.METRIC).items():
                if isinstance(value, (int, float)):
                    found |= {_logged(name, float(value)): metrics}
        return list(found), found

    def measure(self, node: Term) -> Measure | None:
        """Read an evaluation or observation."""
        facts = self.facts
        metric, value = facts.text(node, P["metricName"]), facts.number(node, P["value"])
        if metric is None or value is None:
            return None
        return Measure(
            metric=metric,
            value=value,
            n=facts.whole(node, P["sampleSize"]),
            standard_error=self._error(node),
            protocol=self.protocol(node),
            side=self._side(node),
        )

    def _side(self, node: Term) -> str:
        data = self.facts.one(node, P["data"])
        role = self.facts.text(node, P["dataRole"])
        side = side_of(role, None if data is None else self.facts.label(data))
        if role is None and data is not None and data in self._of:
            side = self.slots[self._of[data]].side or side
        return TRAIN if side == TRAIN else EVALUATED

    def _error(self, node: Term) -> float | None:
        low, high = (
            self.facts.number(node, P["intervalLow"]),
            self.facts.number(node, P["intervalHigh"]),
        )
        if low is None or high is None or not high > low:
            return None
        level = self.facts.number(node, P["intervalLevel"]) or 0.95
        return (high - low) / (2 * _normal_quantile(0.5 + min(max(level, 0.5), 0.999) / 2))

    def protocol(self, node: Term) -> str:
        """Return how something was measured, as text: what is compared, not shown."""
        facts = self.facts
        parts = {
            name: facts.text(node, P[name]) for name in ("implementation", "slice", "threshold")
        }
        bound = parts.pop("threshold")
        del bound  # what a value must reach is no part of how it is measured
        return json.dumps({k: v for k, v in parts.items() if v is not None}, sort_keys=True)

    def _standard(self, node: Term) -> list[Measure]:
        found = []
        for metrics in self.facts.all(node, P["standardMetrics"]):
            for name, value in self.facts.values(metrics, vocab.METRIC).items():
                if isinstance(value, (int, float)):
                    found.append(
                        Measure(
                            metric=name,
                            value=float(value),
                            n=self.facts.whole(node, P["sampleSize"]),
                            protocol="standard",
                            side=self._side(node),
                        )
                    )
        return found

    def evaluated(self, node: Term, measure: Measure, record: tuple[str, ...]) -> None:
        """Add what a measure was taken with and on: its protocol, its data, what was predicted."""
        facts = self.facts
        values: dict[str, Scalar] = {"metric": measure.metric}
        for name in ("implementation", "slice"):
            value = facts.text(node, P[name])
            if value is not None:
                values[name] = value
        self._add(
            "evaluation", "evaluation", "evaluation protocol", values=values, of="evaluate",
            records=record,
        )  # fmt: skip
        data = facts.one(node, P["data"])
        used = []
        if data is not None:
            path = self._of.get(data)
            if path is None:
                path = self._data(data, "evaluate:used.evaluated", "evaluation", None, record)
            if self.slots[path].side != TRAIN:
                self.slots[path] = replace(self.slots[path], side=EVALUATED)
            used.append(path)
        model = facts.one(node, P["model"])
        if model is not None and model in self._of:
            used.append(self._of[model])
        made = []
        outputs = facts.one(node, P["outputs"])
        profile = self._profile(node)
        if outputs is not None:
            made.append(self._data(outputs, "evaluate:made.outputs", None, "evaluate", record))
        elif profile is not None:
            self.slots["evaluate:made.predictions"] = Slot(
                path="evaluate:made.predictions", kind="data", side=EVALUATED, made_by="evaluate",
                digest=None, profile=profile, records=record,
            )  # fmt: skip
            made.append("evaluate:made.predictions")
        self.activities["evaluate"] = Activity(path="evaluate", used=tuple(used), made=tuple(made))

    # ---- the end -----------------------------------------------------------------------------------
    def ranked_activities(self) -> dict[str, Activity]:
        """Return activities with their depth: the longest way from an input."""
        depths: dict[str, int] = {}
        maker = {
            path: slot.made_by for path, slot in self.slots.items() if slot.made_by is not None
        }

        def depth(path: str, seen: frozenset[str]) -> int:
            if path in depths:
                return depths[path]
            before = [
                depth(other, seen | {path})
                for used in self.activities[path].used
                if (other := maker.get(used)) is not None
                and other != path
                and other not in seen
                and other in self.activities
            ]
            depths[path] = 1 + max(before, default=-1)
            return depths[path]

        return {
            path: replace(activity, depth=depth(path, frozenset()))
            for path, activity in self.activities.items()
        }


def read_end(
    facts: Facts,
    *,
    end: str,
    runs: Sequence[str],
    read: ReadAttachment,
    metric: str | None = None,
    model: str | None = None,
) -> End:
    """Make an end from the graphs of the runs behind it (the run itself last) or of an observation.

    Args:
        facts: statements of all records concerned.
        end: IRI of the run or observation.
        runs: IRIs of the runs, in order of time.
        read: reads an attachment.
        metric: the metric in question; None: the one with most to go by.
        model: IRI of the model in question, where the run made several.
    """
    reader = Reader(facts, read)
    taken: dict[str, int] = {}
    terms = [iri(run) for run in runs]
    # What one run made and another used is made: all runs are looked at before any is read.
    names = {}
    for run in terms:
        name = stable(facts.label(run) or "run")
        count = taken[name] = taken.get(name, 0) + 1
        names[run] = name if count == 1 else f"{name}~{count}"
        for activity, path in reader._activities(run, names[run]):
            for entity in facts.made.get(activity, []):
                reader._makers.setdefault(entity, path)
    for run in terms:
        reader.run(run, path=names[run])
    subject = iri(end)
    is_observation = facts.is_a(subject, "Observation")
    record = reader._records(subject)
    measures: list[Measure] = []
    chosen: Measure | None = None
    if is_observation:
        chosen = reader.measure(subject)
        if chosen is not None:
            measures = [chosen, *reader._standard(subject)]
            reader.evaluated(subject, chosen, record)
        probe = None
        name = f"observation of {facts.label(subject) or (chosen.metric if chosen else 'a model')}"
    else:
        measures, nodes = reader.measures(subject)
        chosen = choose([m for m in measures if _is_of(facts, nodes[m], model)], metric=metric)
        if chosen is not None:
            reader.evaluated(nodes[chosen], chosen, record)
        probe = reader.probe(subject)
        name = facts.label(subject) or end
    return End(
        name=name,
        iri=end,
        at=facts.time(subject, PROV_T["generatedAtTime" if is_observation else "startedAtTime"]),
        slots=reader.slots,
        activities=reader.ranked_activities(),
        measure=chosen,
        measures=tuple(measures),
        probe=probe,
        missing=tuple(dict.fromkeys(reader.missing)),
        is_observation=is_observation,
    )


def choose(measures: Sequence[Measure], *, metric: str | None) -> Measure | None:
    """Return the measure in question: of that metric, on evaluated data, whole before sliced."""
    those = [m for m in measures if metric is None or m.metric == metric]
    if not those:
        return None

    def worth(measure: Measure) -> tuple[bool, bool, bool, bool]:
        return (
            measure.side != EVALUATED,
            measure.protocol == "standard",
            '"slice"' in measure.protocol,
            measure.n is None,
        )

    return min(those, key=worth)


def _is_of(facts: Facts, node: Term, model: str | None) -> bool:
    about = facts.one(node, P["model"])
    return (
        model is None
        or about is None
        or about == iri(model)
        or C["MetricSet"] in facts.all(node, vocab.A)
    )


def _logged(name: str, value: float) -> Measure:
    for prefix in ("train_", "training_"):
        if name.lower().startswith(prefix):
            return Measure(metric=name[len(prefix) :], value=value, protocol="logged", side=TRAIN)
    for prefix in ("test_", "val_", "valid_", "validation_", "eval_"):
        if name.lower().startswith(prefix):
            return Measure(metric=name[len(prefix) :], value=value, protocol="logged")
    return Measure(metric=name, value=value, protocol="logged")


def _normal_quantile(p: float) -> float:
    """Return z with a share of p below it (bisection: no library for one number)."""
    low, high = 0.0, 10.0
    for _ in range(60):
        middle = (low + high) / 2
        if 0.5 * (1 + math.erf(middle / math.sqrt(2))) < p:
            low = middle
        else:
            high = middle
    return (low + high) / 2
