"""Column profiles of tables and matrices in memory (`provgraph.profiles`, docs/profiles.md).

`reading` finds the columns of any kind of table, `cells` reads one of them, `columns` measures it,
`hashing` and `sampling` choose rows by their content, `joint` looks at columns together, `privacy`
decides which values may be listed, and `tables` puts a profile together within a budget. All of it
needs numpy, which whoever hands over a table has loaded; a run without tables loads none of it.
"""
