"""The index is brought up to date in a process of its own, and what stops that is told."""

import pytest
from small_history import record_history

from provgraph.errors import IndexUnavailableError
from provgraph.index.store import open_index
from provgraph.service.catching_up import catch_up_elsewhere
from provgraph.service.home import close_ledger, index_folder, readable_ledger
from provgraph.settings import load


def test_the_index_holds_the_whole_ledger_afterwards(home):
    record_history()
    close_ledger()
    settings = load()
    catch_up_elsewhere(settings)
    with readable_ledger(settings) as ledger, open_index(settings.index_folder, wait_s=1) as index:
        mark = index.watermark()
        assert mark is not None
        assert (mark.size, mark.root_hex) == (ledger.size(), ledger.root().hex())


def test_an_index_that_is_in_use_is_told(home, monkeypatch):
    record_history()
    close_ledger()
    monkeypatch.setenv("PROVGRAPH_INDEX_WAIT_S", "0.1")
    settings = load()
    with open_index(index_folder(settings), wait_s=1):
        with pytest.raises(IndexUnavailableError, match="another process has used the index"):
            catch_up_elsewhere(settings)
