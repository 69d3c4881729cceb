"""Adapt a model file to a site without labels: statistics of its convolutions' channels."""
