"""Faults of capture stay away from the caller: they are logged, and raised only in strict mode."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import ParamSpec

from provgraph.capture.recorder import say
from provgraph.capture.sinks import Receipt
from provgraph.capture.values import describe_error
from provgraph.errors import ProvgraphError
from provgraph.settings import Settings, is_strict, load

A = ParamSpec("A")


def guarded(function: Callable[A, Receipt | None]) -> Callable[A, Receipt | None]:
    """Keep a function's faults away from the caller, wrong arguments too: they are logged."""

    @functools.wraps(function)
    def within(*args: A.args, **kwargs: A.kwargs) -> Receipt | None:
        settings = usable_settings()
        if settings is None or not settings.enabled:
            return None
        try:
            return function(*args, **kwargs)
        except Exception as error:
            if is_strict(settings):
                raise
            reason = str(error) if isinstance(error, ProvgraphError) else describe_error(error)
            say(f"could not record {function.__name__}: {reason}")
            return None

    return within


def usable_settings() -> Settings | None:
    """Return the settings, or None where they are broken: capture is then off, and says so."""
    try:
        return load(os.environ)
    except Exception as error:
        reason = str(error) if isinstance(error, ProvgraphError) else describe_error(error)
        say(f"nothing is recorded: {reason}")
        return None
