"""The model file: inspection, metadata, graph, checksum and self-test."""
