"""`provgraph serve`: the HTTP server. One process, one home folder, no other service.

    app         the table of endpoints becomes an application
    endpoints   what an endpoint is: path, action, parameters; the OpenAPI document is made of these
    services    what the endpoints share: snapshots, query workers, the committer
    intake      the thread that reads, converts and seals what comes in
    guard       who may do what, and the view that they are served from
    walking     questions of our own that take several queries, each in a query worker
    problems    errors as RFC 9457
    negotiation media types and q-values
    sparql …    the endpoints themselves, one module per specification

The server process never evaluates a foreign query: see `provgraph.index.pool`.
"""
