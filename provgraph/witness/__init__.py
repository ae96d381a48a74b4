"""A witness: an independent process that cosigns checkpoints of logs which only ever grow."""
