"""Reading archives that are too large for one machine, in shards, with the workers of a cluster."""
