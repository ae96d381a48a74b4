"""Secrets out of what a store recorded, before facts or bytes are made of it; how many is counted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from provgraph.capture.redact import redact, redact_value


class Clean:
    """Takes secrets out of the texts of one unit."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        """Begin a unit."""
        self.count = 0

    def text(self, value: Any) -> Any:
        """Clean a text; what is no text passes."""
        if type(value) is not str or not value:
            return value
        clean = redact(value)
        if clean != value:
            self.count += 1
        return clean

    def named(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Clean values by what they are called as well."""
        found = {}
        for name, value in values.items():
            clean = redact_value(name, value) if type(value) is str and value else value
            if clean != value:
                self.count += 1
            found[name] = clean
        return found
