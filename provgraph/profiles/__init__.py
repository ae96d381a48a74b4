"""Column profiles: what a table looked like, in at most 40 KB, without its rows.

`profile` has the values, `codec` their canonical JSON (`profile-v1`, docs/profiles.md), `quantiles`,
`distinct` and `values` the sketches, `fitting` makes a profile as small as it must be, `merging` adds
profiles of parts up. Nothing here needs numpy or reads a table: `provgraph.capture.profiling` does.
"""
