"""Capture: what a pipeline did, written to a journal as it happens and sealed when it ends."""
