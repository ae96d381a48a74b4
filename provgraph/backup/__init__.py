"""Backups: what a home holds, in immutable segments at other places, under a signed manifest.

<place>/segments/<SHA-256>.segment     rows of the ledger or the access trail (segments)
<place>/homes/<SHA-256>.home           charter, trust files, what witnesses saw, … (homes)
<place>/manifests/<size>-<time>-….manifest   which of them make up a backup, signed (manifest)

Import from the modules; nothing is re-exported here.
"""
