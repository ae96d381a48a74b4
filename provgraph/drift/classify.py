"""Which category a setting speaks for, by its name, its step and what the step makes.

People name settings as they like; these lists are what is common, and a setting that none of them knows
belongs to the kind of its activity: a step that makes a feature set defines features, one that makes a
model trains, any other prepares.
"""

from __future__ import annotations

import re
from typing import Final

HYPER, ARCHITECTURE = "hyperparameters", "model architecture"
PREPARING, FEATURES = "preprocessing", "feature definition"
PROTOCOL, SEED = "evaluation protocol", "randomness"

_WORDS: Final = (
    (SEED, {"seed", "random_state", "random_seed", "rng"}),
    (
        ARCHITECTURE,
        {
            "activation", "algorithm", "arch", "architecture", "backbone", "base_model", "classifier",
            "estimator", "hidden", "hidden_dim", "hidden_layers", "hidden_size", "kernel_size",
            "layers", "model", "model_class", "model_name", "model_type", "n_heads", "n_layers",
            "network", "num_heads", "num_layers", "regressor",
        },
    ),
    (PROTOCOL, {"average", "averaging", "cutoff", "eval", "evaluation", "metric", "scoring", "threshold"}),
    (
        FEATURES,
        {"columns", "derived", "feature", "features", "interactions", "lags", "ngram_range", "poly",
         "redefined", "selected", "window"},
    ),
    (
        PREPARING,
        {"binning", "clean", "clip", "dedupe", "drop_duplicates", "drop_missing", "encode", "encoding",
         "fill", "fillna", "impute", "imputer", "normalise", "normalize", "outliers", "resample",
         "scale", "scaler", "scaling", "standardise", "standardize", "tokenizer", "winsorize"},
    ),
)  # fmt: skip

_STEPS: Final = (
    (FEATURES, ("feature", "embed", "vectori")),
    (PROTOCOL, ("evaluat", "score", "measure", "test")),
    (
        PREPARING,
        ("clean", "prepar", "preproc", "impute", "scal", "normal", "encod", "split", "merge", "join",
         "load", "filter", "transform", "tokeni", "sample", "ingest", "extract"),
    ),
    (HYPER, ("train", "fit", "learn", "tune", "model")),
)  # fmt: skip

TRAINING_ROLES: Final = frozenset({"train", "training", "fit", "learn"})
EVALUATED_ROLES: Final = frozenset(
    {"test", "holdout", "evaluation", "golden", "validation", "valid", "val", "eval", "serving",
     "observed", "production", "inference"}
)  # fmt: skip


def category_of(setting: str, *, activity: str, makes_model: bool, makes_features: bool) -> str:
    """Return the category that a setting of an activity speaks for."""
    words = setting.lower().rsplit(".", 1)[-1]
    parts = {words, *re.split(r"[^a-z0-9]+|_", words)}
    kind = kind_of_activity(activity, makes_model=makes_model, makes_features=makes_features)
    for category, known in _WORDS:
        if words in known:
            return category
    for category, known in _WORDS[:1]:
        if parts & known:
            return category
    if kind == HYPER:
        for category, known in _WORDS[1:]:
            if category in {ARCHITECTURE, PREPARING, FEATURES} and parts & known & _CLEAR:
                return category
    return kind


_CLEAR: Final = frozenset(
    {"architecture", "arch", "backbone", "classifier", "estimator", "features", "imputer", "scaler",
     "encoding", "layers"}
)  # fmt: skip


def kind_of_activity(name: str, *, makes_model: bool, makes_features: bool) -> str:
    """Return the category of an activity's own settings."""
    lowered = name.rsplit("/", 1)[-1].lower()
    if makes_features:
        return FEATURES
    for category, stems in _STEPS:
        if any(stem in lowered for stem in stems):
            return category
    return HYPER if makes_model else PREPARING


def side_of(role: str | None, name: str | None) -> str | None:
    """Tell what a model is fitted to from what it is measured on, by role and then by name."""
    for text in (role, name):
        if text is None:
            continue
        words = set(re.split(r"[^a-z0-9]+", text.lower()))
        if words & TRAINING_ROLES:
            return "train"
        if words & EVALUATED_ROLES:
            return "evaluated"
    return None


def stable(name: str) -> str:
    """Return a name without what differs from run to run: dates, numbers, hashes."""
    plain = re.sub(r"\b[0-9a-f]{12,}\b", "#", name.strip().lower())
    plain = re.sub(r"[0-9][0-9\-_.:tT]*", "#", plain)
    return re.sub(r"\s+", " ", plain)[:120] or "run"
