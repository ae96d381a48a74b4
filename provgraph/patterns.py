"""Regular expressions that are compiled when they are first used.

Compiling one takes as long as a whole small module. Most of ours look for what is hardly ever
there (secrets, foreign statements), so most programs never need them.
"""

from __future__ import annotations

import re
from typing import Any, cast


class _Pattern:
    def __init__(self, text: str, flags: int) -> None:
        self._text = text
        self._flags = flags

    def __getattr__(self, name: str) -> Any:
        compiled = re.compile(self._text, self._flags)
        # From now on its methods are found here, as fast as on the pattern itself.
        for method in ("finditer", "findall", "fullmatch", "match", "pattern", "search", "sub"):
            setattr(self, method, getattr(compiled, method))
        return getattr(compiled, name)


def pattern(text: str, flags: int = 0) -> re.Pattern[str]:
    """Return what `re.compile` would, before it is compiled."""
    return cast("re.Pattern[str]", _Pattern(text, flags))
