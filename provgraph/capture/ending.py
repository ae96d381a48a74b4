"""How a run or a step ended: on both clocks, by which exception, and where.

The wall clock says when, the monotonic clock how long. Where they disagree the monotonic one is
believed, so that nothing ends before it began. Units: seconds.
"""

from __future__ import annotations

import sys
from datetime import datetime, timedelta
from pathlib import Path

from provgraph.capture.redact import redact
from provgraph.capture.state import Ending
from provgraph.capture.values import describe_error


def elapsed_end(started_at: datetime, now: datetime, duration_s: float) -> tuple[datetime, float]:
    """Return (end, seconds by which the clock disagrees) of something that took duration_s.

    Where the wall clock was set back meanwhile, the end is the start plus the duration.
    """
    expected = started_at + timedelta(seconds=duration_s)
    drift_s = (now - expected).total_seconds()
    return (expected if now < started_at else now), drift_s


def ending_of(error: BaseException | None, *, ended_at: datetime, duration_s: float) -> Ending:
    """Say how something ended: an exit code of 0 is no failure, an interrupt is no fault."""
    status, reason, exit_code = "completed", None, None
    if isinstance(error, SystemExit):
        exit_code = _exit_code(error)
    if error is not None and exit_code != 0:
        status = "abandoned" if _is_interrupt(error) else "failed"
        reason = redact(_reason(error))
    return Ending(
        ended_at=ended_at,
        duration_s=round(duration_s, 6),
        status=status,
        reason=reason,
        exit_code=exit_code,
    )


def _exit_code(error: SystemExit) -> int:
    """Return the exit code that Python gives: sys.exit("text") prints the text and means 1."""
    if error.code is None:
        return 0
    return int(error.code) if isinstance(error.code, int) else 1


def _is_interrupt(error: BaseException) -> bool:
    if isinstance(error, KeyboardInterrupt | GeneratorExit):
        return True
    # asyncio is not loaded for the question alone: who has not loaded it was not cancelled by it.
    asyncio = sys.modules.get("asyncio.exceptions")
    return asyncio is not None and isinstance(error, asyncio.CancelledError)


def _reason(error: BaseException) -> str:
    """Say what went wrong and where, without a stack trace."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted by the user"
    text = describe_error(error)
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return text
    code = trace.tb_frame.f_code
    return f"{text} (in {code.co_name}, {Path(code.co_filename).name}:{trace.tb_lineno})"
