"""Promotion gates: a model held against a profile, and a verdict with its reasons.

    profiles    `provgraph.query.promotion`, read by `provgraph.query.requirements`
    sight       what a gate may see: questions, records, keys, as of one size of the ledger
    judging     requirement by requirement; whatever goes wrong in one fails it
    checks      what is more than a question: seals, lineage, withdrawals, thresholds
    decisions   whose approval, validation and waiver counts
    reports     the verdict as JSON, JUnit and SARIF

A gate fails closed: what is missing, unknown, invisible or broken fails like what is wrong.
"""
