module provgraph.invalid/tlogcheck

go 1.18

// The newest that Go 1.19 builds, which is what Debian 12 ships.
require golang.org/x/mod v0.20.0
