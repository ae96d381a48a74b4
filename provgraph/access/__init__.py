"""Who may do what: roles and their rights, tokens, OpenID Connect, private projects, the access trail.

    roles    one table: which role has which right
    store    tokens and project memberships of one home (SQLite)
    verdict  a decision, with its reason

Nothing here knows HTTP; `provgraph.server.guard` asks on behalf of a request.
"""
