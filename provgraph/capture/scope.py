"""What a run and a step can be told: inputs, outputs, parameters, metrics, notes.

No public method raises into the caller's code (unless strict, as under pytest): what could not be
recorded is said once on the logger `provgraph`, and recorded as missing with the reason.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from provgraph.capture import things
from provgraph.capture.described import (
    Consent,
    IntendedUse,
    read_feature,
    read_labelling,
    read_quality,
)
from provgraph.capture.ending import ending_of
from provgraph.capture.facts import Fact, encode
from provgraph.capture.profiled import Attachments, with_profile
from provgraph.capture.recorder import Recorder
from provgraph.capture.things import Handle
from provgraph.capture.values import (
    metric_value,
    plain_name,
    plain_parameter,
    plain_text,
    whole_number,
)
from provgraph.errors import CaptureError
from provgraph.records import Agent, Entity, Filter, Generation, Missing, Note, Scalar, Usage
from provgraph.terms import format_time

S = TypeVar("S", bound="Scope")
R = TypeVar("R")
A = ParamSpec("A")


@functools.cache
def _unknown() -> Handle:
    return Handle(things.unknown_thing("what was handed over could not be recorded"))


def harmless(
    otherwise: Callable[[], R],
) -> Callable[[Callable[Concatenate[S, A], R]], Callable[Concatenate[S, A], R]]:
    """Keep a method's faults away from the caller: recorded, logged, replaced by `otherwise()`."""

    def wrap(method: Callable[Concatenate[S, A], R]) -> Callable[Concatenate[S, A], R]:
        @functools.wraps(method)
        def guarded(self: S, /, *args: A.args, **kwargs: A.kwargs) -> R:
            recorder = self._recorder
            if recorder is None:
                return otherwise()
            try:
                return method(self, *args, **kwargs)
            except Exception as error:
                what = method.__name__.strip("_").replace("_", " ")
                recorder.fault(what, error, step=self._key)
                return otherwise()

        return guarded

    return wrap


class Scope:
    """What a run and a step share."""

    _recorder: Recorder | None  # None where capture is off
    _key: int | str  # of the step in the journal; 0 is the run

    @harmless(_unknown)
    def use(
        self,
        /,
        thing: Any,
        *,
        role: str | None = None,
        name: str | None = None,
        version: str | None = None,
        kind: str | None = None,
        digest: str | None = None,
        rows: int | None = None,
        source: str | None = None,
        licence: str | None = None,
        collected: str | None = None,
        collector: str | None = None,
        collection_method: str | None = None,
        consent: str | Consent | Sequence[Consent] | None = None,
        personal_data: bool | None = None,
        use_terms: str | None = None,
        vendor: str | None = None,
        description: str | None = None,
        label: str | None = None,
        units: Mapping[str, str] | None = None,
        profile: bool = True,
        **unknown: Any,
    ) -> Handle:
        """Record an input: a file or folder, a URI, or a table, array or tensor in memory.

        Args:
            thing: path, URI, object, or the `Handle` of something recorded before.
            role: what it is used as: train, validation, test, base-model, config, …
            name: a name for people; default is the file's.
            version: version of what `name` names.
            kind: dataset, model, feature-set or file; default by role, else by content, else
                dataset.
            digest: `sha256:<hex>` where the bytes cannot be read here.
            rows: number of rows, where it cannot be counted here.
            source: where it came from, a URL if there is one.
            licence: SPDX identifier, URL, or text.
            collected: when it was collected, such as `2024-01/2024-06`.
            collector: who collected it.
            collection_method: how, such as `telephone survey`.
            consent: consent or other legal basis for personal data: a `provgraph.Consent`, or text.
            personal_data: whether it holds personal data at all.
            use_terms: what it may be used for beyond the licence: words of a contract, or a URL.
            vendor: who supplied it (third-party data, pre-trained models).
            description: free text.
            label: the column of a table that a model is to predict; its profile is then also
                by label.
            units: units of columns by name, such as `{"height": "cm"}`.
            profile: False records no profile of a table (docs/profiles.md).
            unknown: not recorded as such; kept as a note, so that nothing said is lost.
        """
        given = {
            "name": name,
            "version": version,
            "kind": kind,
            "digest": digest,
            "rows": rows,
            "source": source,
            "licence": unknown.pop("license", None) if licence is None else licence,
            "collected": collected,
            "collector": collector,
            "collection_method": collection_method,
            "consent": consent,
            "has_personal_data": personal_data,
            "use_terms": use_terms,
            "vendor": vendor,
            "description": description,
        }
        role = _text(role)
        entity = self._entity(thing, default_kind=None, role=role, given=given)
        if profile:
            entity = self._with_profile(entity, thing, label=label, units=units)
        self._record("use", Usage(entity=entity, role=role, at=self._told.now()))
        self._remember(entity)
        self._note_unknown("use", unknown)
        return Handle(entity)

    @harmless(_unknown)
    def generate(
        self,
        /,
        thing: Any,
        *,
        role: str | None = None,
        name: str | None = None,
        version: str | None = None,
        kind: str | None = None,
        digest: str | None = None,
        rows: int | None = None,
        licence: str | None = None,
        description: str | None = None,
        intended_use: str | IntendedUse | None = None,
        derived_from: Iterable[Any] | None = None,
        label: str | None = None,
        units: Mapping[str, str] | None = None,
        profile: bool = True,
        **unknown: Any,
    ) -> Handle:
        """Record an output. It counts as derived from all inputs of this run or step.

        Args:
            thing: path, URI, or object; the file must be complete by now.
            role: what it is: model, features, table, report, …
            name: what people call it; `name` and `version` make `churn:3`.
            version: version of what `name` names.
            kind: dataset, model, feature-set or file; default by role, else file for paths and
                by content for objects in memory.
            digest: `sha256:<hex>` where the bytes cannot be read here.
            rows: number of rows, where it cannot be counted here.
            licence: SPDX identifier, URL, or text.
            description: free text.
            intended_use: what a model is meant for: a `provgraph.IntendedUse`, or text.
            derived_from: exactly which inputs it was made from; `()` for none. Default: all inputs
                of this run or step except those in a measuring role (test, holdout).
            label: as for `use`.
            units: as for `use`.
            profile: as for `use`.
            unknown: kept as a note.
        """
        given = {
            "name": name,
            "version": version,
            "kind": kind,
            "digest": digest,
            "rows": rows,
            "licence": unknown.pop("license", None) if licence is None else licence,
            "description": description,
            "intended_use": intended_use,
        }
        role = _text(role)
        default_kind = "file" if isinstance(thing, str | os.PathLike) else None
        entity = self._entity(thing, default_kind=default_kind, role=role, given=given)
        if profile:
            entity = self._with_profile(entity, thing, label=label, units=units)
        sources = None
        if derived_from is not None:
            one = isinstance(derived_from, Handle | str | os.PathLike)
            listed = [derived_from] if one else list(derived_from)
            sources = tuple(self._existing(source, "dataset") for source in listed)
        generation = Generation(entity=entity, role=role, at=self._told.now(), derived_from=sources)
        self._record("generate", generation)
        self._remember(entity)
        self._note_unknown("generate", unknown)
        return Handle(entity)

    @harmless(lambda: None)
    def feature(
        self,
        name: str,
        /,
        *,
        definition: str | None = None,
        version: str | None = None,
        reason: str | None = None,
        columns: Iterable[str] = (),
        source: Any = None,
        made: Any = None,
        by: str | None = None,
    ) -> None:
        """Record that a feature is used here, and what it means where that is said.

        Args:
            name: of the feature, mostly its column's.
            definition: what its values mean and how they are made, in words or as an expression;
                without it this is a use of what was defined elsewhere.
            version: of the definition, so that its history can be told.
            reason: why it was chosen.
            columns: the source columns that it is made of.
            source: the data that these stand in: handle, name, path.
            made: the table or feature set in which it stands from here on.
            by: who defined it.
        """
        feature = read_feature(
            name,
            definition=definition,
            version=version,
            reason=reason,
            by=by,
            columns=columns,
            source=None if source is None else self._existing(source, "dataset"),
            made=None if made is None else self._existing(made, "feature-set"),
        )
        self._record("feature", feature)

    @harmless(lambda: None)
    def labels(
        self,
        data: Any,
        /,
        *,
        by: str | Iterable[str] | None = None,
        guideline: str | None = None,
        guideline_version: str | None = None,
        agreement: float | None = None,
        agreement_method: str | None = None,
        count: int | None = None,
    ) -> None:
        """Record how the labels of a dataset came about.

        Args:
            data: the labelled data: handle, name, path.
            by: who labelled: a name, or several.
            guideline: the instructions that they followed: a title or URL.
            guideline_version: its version.
            agreement: how far they agreed.
            agreement_method: by which statistic, such as `Cohen's kappa`.
            count: number of labels given.
        """
        said = {
            "by": by,
            "guideline": guideline,
            "guideline_version": guideline_version,
            "agreement": agreement,
            "agreement_method": agreement_method,
            "count": count,
        }
        self._record("labels", read_labelling(self._existing(data, "dataset"), said, None))

    @harmless(lambda: None)
    def quality(
        self,
        data: Any,
        /,
        *,
        metric: str,
        value: Any,
        column: str | None = None,
        n: int | None = None,
        threshold: float | str | None = None,
        implementation: str | None = None,
    ) -> None:
        """Record a measured quality of a dataset snapshot.

        Args:
            data: the snapshot: handle, name, path.
            metric: such as `completeness`.
            value: the measured value.
            column: the column that it is about; None for all of the data.
            n: number of rows measured.
            threshold: number or comparison (`>= 0.95`); as for `evaluate`.
            implementation: what computed it.
        """
        measured = read_quality(
            self._existing(data, "dataset"),
            metric=metric,
            value=value,
            at=self._told.now(),
            column=column,
            n=n,
            threshold=threshold,
            implementation=implementation,
        )
        self._record("quality", measured)

    @harmless(lambda: None)
    def log_params(self, parameters: Mapping[str, Any] | None = None, /, **more: Any) -> None:
        """Record parameters: plain values as they are, others as JSON or text."""
        values = self._parameters({**parameters, **more} if parameters else more)
        self._write({"f": "parameters", "value": values}, part=values)

    @harmless(lambda: None)
    def log_metrics(
        self, metrics: Mapping[str, Any] | None = None, /, *, step: int | None = None, **more: Any
    ) -> None:
        """Record metric values; with `step`, or more than once, they become a series.

        NaN and infinities are kept as what they are. A value that is no number is left out and
        said to be missing; the other values of the call are kept.
        """
        values: dict[str, float] = {}
        for name, value in ({**metrics, **more} if metrics else more).items():
            if type(value) is float:
                values[plain_name(name)] = value
                continue
            try:
                values[plain_name(name)] = metric_value(value)
            except CaptureError as error:
                self._lost(f"metric {plain_name(name)}", error)
        fact: Fact = {"f": "metrics", "v": values, "t": int(self._told.clock() * 1000)}
        if step is not None:
            try:
                fact["n"] = step if type(step) is int else whole_number(step, "step")
            except CaptureError as error:
                self._lost("metric step", error)
        if values:
            self._write(fact)

    @harmless(lambda: None)
    def note(self, text: str) -> None:
        """Record a remark in words."""
        self._record("note", Note(text=plain_text(text), at=self._told.now()))

    @harmless(lambda: None)
    def missing(self, field: str, reason: str) -> None:
        """Record that a fact which should be here is not known, and why."""
        self._record("missing", Missing(field=plain_text(field), reason=plain_text(reason)))

    def step(self, name: str | None = None, /, **parameters: Any) -> StepScope:
        """Open a nested preparation or feature step: `with run.step("clean", drop_na=True) as s:`."""
        if name is None:
            name = parameters.pop("name", None)
        return StepScope(self._recorder, parent=self._key, name=name, parameters=parameters)

    # ---- for run and step ------------------------------------------------------------------------
    @property
    def _told(self) -> Recorder:
        assert self._recorder is not None  # `harmless` has looked
        return self._recorder

    def _entity(
        self, thing: Any, *, default_kind: str | None, role: str | None, given: Mapping[str, Any]
    ) -> Entity:
        entity = things.entity_of(thing, default_kind=default_kind, role=role, given=given)
        for unknown in entity.missing:
            # Of a thing named by its URI nobody expects the bytes to be read here.
            if not isinstance(thing, Handle) and not (entity.uri and unknown.field == "digest"):
                if self._told.is_strict and things.is_path(thing):
                    raise CaptureError(unknown.reason)
                self._told.say(f"{unknown.field} of {entity.name or 'a thing'}: {unknown.reason}")
        return entity

    def _with_profile(
        self, entity: Entity, thing: Any, *, label: Any, units: Mapping[Any, Any] | None
    ) -> Entity:
        if isinstance(thing, str | os.PathLike | Handle) or self._told.limits is None:
            return entity
        attachments: Attachments = {}
        profiled = with_profile(
            entity,
            thing,
            limits=self._told.limits,
            attachments=attachments,
            label=_text(label),
            units={str(name): plain_text(unit) for name, unit in (units or {}).items()},
        )
        for unknown in profiled.missing[len(entity.missing) :]:
            self._told.say(f"profile of {entity.name or 'a table'}: {unknown.reason}")
        self._told.attach(attachments)
        return profiled

    def _existing(self, thing: Any, default_kind: str) -> Entity:
        """Find what a name means among the things of this run, else describe it afresh."""
        if isinstance(thing, str) and (known := self._told.named.get(thing)) is not None:
            return known
        return self._entity(thing, default_kind=default_kind, role=None, given={})

    def _remember(self, entity: Entity) -> None:
        if entity.name is not None:
            self._told.named[entity.name] = entity
            if entity.version is not None:
                self._told.named[f"{entity.name}:{entity.version}"] = entity

    def _parameters(self, parameters: Mapping[str, Any]) -> dict[str, Scalar]:
        values: dict[str, Scalar] = {}
        for given, value in parameters.items():
            name = plain_name(given)
            try:
                values[name] = plain_parameter(name, value)
            except CaptureError as error:
                self._lost(f"parameter {name}", error)
        return values

    def _record(self, kind: str, value: Any) -> None:
        self._told.record(kind, value, step=self._key)

    def _write(self, fact: Fact, *, part: Any = None) -> None:
        if self._key:
            fact["s"] = self._key
        self._told.write(fact, part=part)

    def _lost(self, field: str, error: CaptureError) -> None:
        self._told.lost(field, str(error), step=self._key)

    def _note_unknown(self, method: str, unknown: Mapping[str, Any]) -> None:
        for name, value in unknown.items():
            if self._told.is_strict:
                raise CaptureError(f"{method}: unknown argument {name!r}; see help(run.{method})")
            try:
                text = f"{method} {name}={plain_parameter(name, value)}"
            except CaptureError as error:
                self._lost(f"{method} {name}", error)
                continue
            self._told.say(f"{method}: unknown argument {name!r} was kept as a note")
            self._record("note", Note(text=text, at=self._told.now()))


class StepScope(Scope):
    """A step that is going; made by `run.step` or `step.step`."""

    def __init__(
        self,
        recorder: Recorder | None,
        *,
        parent: int | str,
        name: Any,
        parameters: Mapping[str, Any],
    ) -> None:
        self._recorder = recorder
        self._key = parent  # until it is entered, what it is told belongs to what is around it
        self._parent = parent
        self._name = name
        self._parameters_given = parameters
        self._is_going = False
        self._started_s = 0.0

    def __enter__(self) -> Self:
        self._start_step()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end_step(error)

    @harmless(lambda: None)
    def rows(self, *, rows_in: int | None = None, rows_out: int | None = None) -> None:
        """State how many rows went in and came out, where the tables do not tell."""
        fact: Fact = {"f": "rows"}
        for key, value in (("in", rows_in), ("out", rows_out)):
            if value is not None:
                fact[key] = whole_number(value, f"rows_{key}")
        self._write(fact)

    @harmless(lambda: None)
    def filter(
        self,
        condition: str,
        *,
        reason: str | None = None,
        rows_removed: int | None = None,
        by: str | None = None,
    ) -> None:
        """Record rows that were left out on purpose, why, and by whose decision."""
        removed = None if rows_removed is None else whole_number(rows_removed, "rows_removed")
        left_out = Filter(
            condition=plain_text(condition),
            reason=_text(reason),
            rows_removed=removed,
            by=None if by is None else Agent(name=plain_text(by)),
        )
        self._record("filter", left_out)

    @harmless(lambda: None)
    def _start_step(self) -> None:
        key = self._told.next_step()
        self._started_at, self._started_s = self._told.now(), self._told.monotonic()
        name = "step"
        try:
            name = name if self._name is None else plain_text(self._name)
        except CaptureError as error:
            self._lost("name of a step", error)
        fact: Fact = {
            "f": "step",
            "n": key,
            "name": name,
            "parameters": self._parameters(self._parameters_given),
            "at": format_time(self._started_at),
        }
        if self._parent:
            fact["s"] = self._parent
        self._told.write(fact)
        self._key, self._is_going = key, True

    @harmless(lambda: None)
    def _end_step(self, error: BaseException | None) -> None:
        if not self._is_going:
            return
        self._is_going = False
        duration_s = max(0.0, self._told.monotonic() - self._started_s)
        ended_at = max(self._started_at, self._told.now())
        ending = ending_of(error, ended_at=ended_at, duration_s=duration_s)
        self._write({"f": "end", **encode(ending)})


def _text(value: Any) -> str | None:
    return None if value is None else plain_text(value)
