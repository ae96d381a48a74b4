"""Seals: keys, Data Integrity proofs, ledger entries, Merkle proofs and signed notes.

Everything a verifier needs, without an RDF library. `cryptography` is loaded by `keys` alone, when
a key is first used. Import from the modules; nothing is re-exported here.
"""
