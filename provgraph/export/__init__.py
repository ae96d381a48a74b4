"""Views and bundles: what is in the ledger, written for other people and other tools."""
