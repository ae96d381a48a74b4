from __future__ import annotations

from typing import Any

from tally import print_table


def pytest_terminal_summary(terminalreporter: Any) -> None:
    print_table(terminalreporter)
