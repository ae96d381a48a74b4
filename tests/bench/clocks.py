"""Clocks around functions on the path of a run; a clock stops while another one runs inside it.

So the parts add up to the whole. A wrapper costs about a microsecond per call, which inflates
parts with many calls a little. Unit: seconds of wall time, since waiting for the disk is a part.
"""

from __future__ import annotations

import contextlib
import functools
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

Place = tuple[Any, str]
"""The owner of a function (module or class) and the function's name there."""


class Clocks:
    """Wall time by part, or what another clock says, each part without what runs inside it."""

    def __init__(self, now_s: Callable[[], float] = time.perf_counter) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._now_s = now_s
        self._inside: list[float] = []

    @contextlib.contextmanager
    def around(self, parts: Mapping[str, Sequence[Place]]) -> Iterator[None]:
        """Put a clock around every function of every part, and take them away at the end."""
        with contextlib.ExitStack() as stack:
            for part, places in parts.items():
                for owner, name in places:
                    function = getattr(owner, name)
                    stack.callback(setattr, owner, name, function)
                    setattr(owner, name, self._clocked(part, function))
            yield

    def _clocked(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def clocked(*args: Any, **kwargs: Any) -> Any:
            self._inside.append(0.0)
            start_s = self._now_s()
            try:
                return function(*args, **kwargs)
            finally:
                took_s = self._now_s() - start_s
                self.seconds[part] += took_s - self._inside.pop()
                if self._inside:
                    self._inside[-1] += took_s

        return clocked
