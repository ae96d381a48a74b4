"""Bringing the index up to the ledger in a process of its own, for a server that must stay small.

A bulk load takes more than a gigabyte for a while, and what it holds while it parses would be held from
whoever asks meanwhile; both end with the process. It opens the index for itself, so its caller must not
have it open. Dying on the way is harmless: the watermark moves with what is in.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Final

from provgraph.errors import IndexUnavailableError
from provgraph.index.store import open_index
from provgraph.service.home import index_folder, readable_ledger
from provgraph.service.indexing import bring_up_to_date
from provgraph.service.searching import follow
from provgraph.settings import Settings, load

# A process costs about as much as so many records; fewer are not worth one.
WORTH_A_PROCESS: Final = 100
_NICER: Final = 5  # than whoever answers requests

_COMMAND: Final = "from provgraph.service.catching_up import main; main()"


def catch_up_elsewhere(settings: Settings) -> None:
    """Run `main` in a process of its own and wait for it.

    Raises:
        IndexUnavailableError: it could not; the message has its last words.
    """
    done = subprocess.run(
        [sys.executable, "-c", _COMMAND],
        env={**os.environ, "PROVGRAPH_HOME": str(settings.home)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        check=False,
    )
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines() or ["it was ended"]
        raise IndexUnavailableError(f"the index was not brought up to date: {said[-1]}")


def main() -> None:
    """Bring this home's index up to date, and the text index beside it."""
    os.nice(_NICER)
    settings = load()
    with (
        readable_ledger(settings) as ledger,
        open_index(index_folder(settings), wait_s=settings.index_wait_s) as index,
    ):
        bring_up_to_date(index, ledger)
    follow(settings)
