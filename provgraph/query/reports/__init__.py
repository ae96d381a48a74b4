"""Questions answered in Python from the rows of a query; see `provgraph.query.reporting`."""
