"""The benchmark of drift origins: real tables, injected faults, and a truth that is measured.

`tables` gives the tasks, `pipeline` the pipeline whose every factor can be swapped, `faults` what
can go wrong (and what only looks so), `scenarios` draws cases from them, `oracle` measures which
factor did it, `cases` turns a scenario into the facts that provgraph reads, `scoring` and
`baselines` judge, `training` fits the ranker that ships.
"""
