"""Converters: what other systems recorded, turned into records of ours. One format, one module.

`contract` says what a converter is and what it may rely on; `table` lists them, and a new one is a module
and a row there. A converter reads and maps, and writes nothing: `provgraph.service.importing` asks the
ledger what is known, seals what is new or has changed, and keeps the report.
"""
