"""Asking: the catalogue of canned queries, names to IRIs, lineage walks, answers as text."""
