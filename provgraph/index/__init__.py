"""The graph as an index of the ledger: disposable, rebuildable, never ahead of it."""
