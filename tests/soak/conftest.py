from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / each) for each in ("durability", "ledger", "seal", "independent", ".")]

from tally import print_table  # noqa: E402


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--scale",
        type=float,
        default=1.0,
        help="how many times the usual number of power cuts, kills and troubles (make soak)",
    )


@pytest.fixture
def scale(pytestconfig: pytest.Config) -> float:
    value: float = pytestconfig.getoption("--scale")
    return value


def pytest_terminal_summary(terminalreporter: Any) -> None:
    print_table(terminalreporter)
