"""The use cases; the order of writes lives here and nowhere else.

Recording: journal, then ledger, then (whenever somebody asks) index. Asking: seal what dead
processes left, bring the index up to the ledger, query, and say at which ledger size.
"""
