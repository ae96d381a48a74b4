"""Drift origin: where did it begin, and how sure are we.

`facts` is what is known of one end (a run, a window of a deployed model), `align` puts two ends
beside each other slot by slot, `columns` and `tables` compare profiles, `evidence` measures what
speaks for each category, `rules` and `trees` (the ranker that ships) turn that into shares, `verdict`
decides what may be said, `replaying` swaps factors and runs again, `bisecting` searches a history,
`reading` makes the facts from records, `wording` says it for people.

Nothing here needs numpy or scikit-learn: the ranker was trained outside (`make train-drift`) and is a
readable file, `ranker.json`.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any


class _Callable(ModuleType):
    """Lets `provgraph.drift("churn:4")` ask, though this package bears the name."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return importlib.import_module("provgraph").drift_origin(*args, **kwargs)


sys.modules[__name__].__class__ = _Callable
