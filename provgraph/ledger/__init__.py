"""The ledger: sealed records in one SQLite file, under a Merkle tree with a signed checkpoint.

Import from the modules; nothing is re-exported here.
"""
