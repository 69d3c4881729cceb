"""An archive that outgrows one machine: shards of paths, read by the workers of a cluster."""
