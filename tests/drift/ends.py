"""Ends of a small pipeline as facts: load, scale, train, evaluate."""

import hashlib
import json
from functools import cache

import numpy as np
import pandas as pd

from provgraph.capture.profiling.limits import Limits
from provgraph.capture.profiling.tables import profile_table
from provgraph.drift.facts import EVALUATED, TRAIN, Activity, Case, End, Measure, Slot

SETTINGS = {
    "scale": ("preprocessing", {"method": "standard"}),
    "train": ("hyperparameters", {"alpha": 1.0, "n_jobs": 1}),
}


def rows(seed, count=700):
    generator = np.random.default_rng(seed)
    label = (generator.random(count) < 0.4).astype(int)
    values = {f"x{i}": generator.normal(0, 1, count) + 0.8 * label * (i < 3) for i in range(6)}
    return pd.DataFrame({**values, "label": label})


def digest(value):
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def data(path, frame, *, side, made_by=None, source="A", profiled=True):
    return Slot(
        path=path,
        kind="data",
        side=side,
        made_by=made_by,
        source=source if made_by is None else None,
        digest=digest(frame.to_csv()),
        iri=f"https://example.org/{digest(frame.to_csv())[:12]}",
        profile=profile_table(frame, limits=Limits(), label="label") if profiled else None,
    )


def scaled(frame, method):
    made = frame.copy()
    for name in made.columns[:-1]:
        made[name] = made[name] * 0.5 if method == "standard" else (made[name] > 0).astype(float)
    return made


def end(
    name,
    value,
    *,
    train=None,
    test=None,
    settings=None,
    code=("c1", "s1"),
    packages=None,
    protocol=None,
    canonical=None,
    source="A",
    profiled=True,
    steps=True,
):
    seed = int(hashlib.sha256(name.encode()).hexdigest()[:6], 16)
    given = {
        "train": rows(seed) if train is None else train,
        "test": rows(seed + 1) if test is None else test,
    }
    chosen = {
        key: {**found, **(settings or {}).get(key, {})} for key, (_, found) in SETTINGS.items()
    }
    slots = {
        role: data(
            role,
            given[role],
            side=TRAIN if role == "train" else EVALUATED,
            source=source,
            profiled=profiled,
        )
        for role in given
    }
    for role, frame in given.items():
        if steps:
            made = scaled(frame, chosen["scale"]["method"])
            side = TRAIN if role == "train" else EVALUATED
            slots[f"matrix.{role}"] = data(
                f"matrix.{role}", made, side=side, made_by="scale", profiled=profiled
            )
    for of, values in chosen.items():
        category = SETTINGS[of][0]
        slots[f"{of}:settings"] = Slot(
            path=f"{of}:settings",
            kind="settings",
            category=category,
            of=of,
            values=values,
            digest=digest(values),
        )
    commit, syntax = code
    slots["code"] = Slot(
        path="code", kind="code", category="code", digest=commit, values={"syntax": syntax}
    )
    found = {"package.numpy": "2.0.0", "package.tqdm": "4.0.0", **(packages or {})}
    slots["environment"] = Slot(
        path="environment",
        kind="environment",
        category="environment",
        values=found,
        digest=digest(found),
    )
    how = protocol or {"threshold": "0.5"}
    slots["evaluation"] = Slot(
        path="evaluation",
        kind="evaluation",
        category="evaluation protocol",
        of="evaluate",
        values=how,
        digest=digest(how),
    )
    activities = {
        "scale": Activity(
            path="scale", used=("train", "test"), made=("matrix.train", "matrix.test"), depth=0
        ),
        "train": Activity(path="train", used=("matrix.train",), depth=1),
        "evaluate": Activity(path="evaluate", used=("matrix.test",), depth=2),
    }
    measure = Measure(metric="accuracy", value=value, n=700, protocol=digest(how))
    standard = Measure(
        metric="standard accuracy", value=value if canonical is None else canonical, n=700
    )
    return End(
        name=name, iri=f"https://example.org/run/{name}", slots=slots, activities=activities,
        measure=measure, measures=(measure, standard),
    )  # fmt: skip


@cache
def healthy():
    values = (0.90, 0.905, 0.895, 0.91, 0.90, 0.902)
    return tuple(end(f"run-{place}", value) for place, value in enumerate(values))


def case(after, history=None):
    *earlier, before = healthy() if history is None else history
    return Case(before=before, after=after, history=tuple(earlier))
