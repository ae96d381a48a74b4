module provgraph.invalid/tlogcheck

go 1.25.0

// 0.40.0 is the first that authenticates every tile (CVE-2026-56865); later ones ask for newer Go.
require golang.org/x/mod v0.40.0
