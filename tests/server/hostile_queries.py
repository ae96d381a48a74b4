"""Queries that are meant to hurt, by the flaw that each would need; and what may become of them."""

WIDE = "?a ?b ?c . ?d ?e ?f . ?g ?h ?i . ?j ?k ?l . ?m ?n ?o . ?p ?q ?r ."
ANYWHERE = "(!<urn:x>|^!<urn:x>)*"
DOUBLED = "BIND('xxxxxxxxxxxxxxxx' AS ?v0) " + " ".join(
    f"BIND(CONCAT(?v{n}, ?v{n}) AS ?v{n + 1})" for n in range(40)
)
TEN = " ".join(f"'{number}'" for number in range(10))
MILLION = " ".join(f"VALUES ?{name} {{ {TEN} }}" for name in "abcdef")

REFUSED = {400}
OVER = {413, 503, 504}

# name -> (query, statuses that are right)
AT_ONCE = {
    "nesting-braces": ("SELECT * WHERE " + "{" * 5000 + "}" * 5000, REFUSED),
    "nesting-brackets": ("SELECT * { ?s ?p " + "[" * 900 + "]" * 900 + " }", REFUSED),
    "nesting-parentheses": ("ASK { FILTER(" + "(" * 3000 + "1" + ")" * 3000 + ") }", REFUSED),
    "nesting-subselects": ("SELECT * {" + "{SELECT * {" * 200 + "}}" * 200 + "}", REFUSED),
    "nesting-never-closed": ("SELECT * { ?s ?p " + "(" * 100_000, REFUSED),
    "not-not-not": ("ASK { FILTER(" + "!" * 20_000 + "true) }", REFUSED | OVER | {200}),
    "minus-minus": ("SELECT (" + "- " * 20_000 + "1 AS ?n) {}", REFUSED | OVER | {200}),
    "sum-of-many": ("SELECT (1" + "+1" * 20_000 + " AS ?n) {}", REFUSED | OVER | {200}),
    "union-chain": ("SELECT * {" + " UNION ".join(["{?s ?p ?o}"] * 3000) + "}", REFUSED | OVER),
    "path-chain": ("ASK { ?s " + "/".join(["<urn:p>"] * 5000) + " ?o }", REFUSED | OVER | {200}),
    "service": ("SELECT * { SERVICE <http://127.0.0.1:1/> { ?s ?p ?o } }", REFUSED),
    "service-silent-lower": ("select * { service silent <http://[::1]/> { ?s ?p ?o } }", REFUSED),
    "service-mixed-glued": ("SELECT*{SeRvIcE<http://127.0.0.1:1/>{?s ?p ?o}}", REFUSED),
    "service-variable": ("SELECT * { ?x ?y ?z SERVICE ?z { ?s ?p ?o } }", REFUSED),
    "service-prefixed": ("PREFIX e: <urn:e:> SELECT * { SERVICEe:x { ?s ?p ?o } }", REFUSED),
    "service-commented": ("SELECT * { SERVICE#x\n#y\n<urn:e> { ?s ?p ?o } }", REFUSED),
    "service-escaped": ("SELECT * { \\u0053ERVICE <urn:e> { ?s ?p ?o } }", REFUSED),
    "service-in-exists": ("ASK { FILTER EXISTS { SERVICE <urn:e> { ?s ?p ?o } } }", REFUSED),
    "service-behind-less": (
        "ASK { FILTER(1<2 ) SERVICE <urn:e> { ?s ?p ?o } FILTER(2>1) }",
        REFUSED,
    ),
    "load": ("LOAD <file:///etc/passwd>", REFUSED),
    "insert": ("INSERT DATA { <urn:a> <urn:b> <urn:c> }", REFUSED),
    "from-a-file": ("SELECT * FROM <file:///etc/passwd> { ?s ?p ?o }", {200}),
    "from-the-network": ("SELECT * FROM <http://127.0.0.1:1/> { ?s ?p ?o }", {200}),
    "from-named-all": ("SELECT * FROM NAMED <file:///etc> { GRAPH ?g { ?s ?p ?o } }", {200}),
    "literal-huge": ("SELECT ('" + "x" * 250_000 + "' AS ?x) {}", {200}),
    "literal-not-closed": ("SELECT * { ?s ?p '" + '"\\' * 100_000, REFUSED),
    "digits-without-end": ("SELECT " + "1" * 250_000, REFUSED),
    "query-too-long": ("ASK {} #" + "x" * 300_000, REFUSED),
    "regex-nested-stars": (
        "ASK { FILTER(regex('" + "a" * 5000 + "!', '(a+)+$')) }",
        {200},
    ),
    "regex-repeats": ("ASK { FILTER(regex('a', '((a{900}){900}){900}')) }", {200} | REFUSED | OVER),
    "null-character": ("ASK { ?s ?p '\x00' }", {200, 400}),
    "byte-order-mark": ("\ufeffASK {}", {200, 400}),
    "nothing": ("", REFUSED),
}
# These run until something stops them.
UNTIL_STOPPED = {
    "cross-product": ("SELECT (COUNT(*) AS ?n) { " + WIDE + " }", OVER),
    "cross-product-sorted": ("SELECT * { " + WIDE + " } ORDER BY ?r ?a", OVER),
    "cross-product-distinct": ("SELECT DISTINCT * { " + WIDE + " }", OVER),
    "cross-product-built": ("CONSTRUCT { ?a ?b ?o } { " + WIDE + " }", OVER),
    "answer-without-end": ("SELECT * { " + WIDE + " }", OVER),
    "path-of-anything": (
        f"SELECT (COUNT(*) AS ?n) {{ ?a {ANYWHERE} ?b . ?b {ANYWHERE} ?c . ?c {ANYWHERE} ?d }}",
        OVER,
    ),
    "bind-doubling": ("SELECT (STRLEN(?v40) AS ?n) { " + DOUBLED + " }", OVER | {200}),
    "replace-doubling": (
        "SELECT (STRLEN(REPLACE(REPLACE(REPLACE(?v17, 'x', ?v17), 'x', ?v17), 'x', 'y')) AS ?n) { "
        + DOUBLED
        + " }",
        OVER | {200},
    ),
    "group-concat": (
        "SELECT (STRLEN(GROUP_CONCAT(?s; separator='"
        + "x" * 5000
        + "')) AS ?n) { "
        + MILLION
        + " BIND(CONCAT(?a, ?b) AS ?s) }",
        OVER,
    ),
    "values-product": (
        "SELECT (COUNT(*) AS ?n) { "
        + MILLION
        + " ".join(f"VALUES ?{x} {{ {TEN} }}" for x in "ghijkl")
        + " }",
        OVER,
    ),
    "filters-not-exists": (
        "SELECT (COUNT(*) AS ?n) { "
        + WIDE
        + " FILTER NOT EXISTS { ?a ?x ?r . ?y ?z ?w . ?w ?t ?o } }",
        OVER,
    ),
}
