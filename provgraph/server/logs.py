"""The server's log on standard error: one line for each request, as text or as JSON.

It never holds a token, a body or the text of a query: those who may read them find them in the access
trail. What a client can put into a line (a path) cannot make a second line of it.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Mapping
from typing import Any, Final

_PLAIN: Final = frozenset(
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~/:@+{}"
)


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        """Write time, level, event, and key=value."""
        facts: Mapping[str, Any] = getattr(record, "facts", {})
        words = [_time(record), record.levelname, record.getMessage().replace("\n", "\\n")]
        words += [f"{name}={_quoted(value)}" for name, value in facts.items()]
        line = " ".join(words)
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        """Write one object."""
        value = {
            "time": _time(record),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "facts", {}),
        }
        if record.exc_info:
            value["exception"] = self.formatException(record.exc_info)
        return json.dumps(value, default=str)


def set_up(log_format: str) -> None:
    """Send the log to standard error. The process is the server's alone."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if log_format == "json" else _Text())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("provgraph").setLevel(logging.INFO)


def _time(record: logging.LogRecord) -> str:
    moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
    return f"{moment}.{int(record.msecs):03d}Z"


def _quoted(value: object) -> str:
    text = str(value)
    return text if text and _PLAIN.issuperset(text) else json.dumps(text)
