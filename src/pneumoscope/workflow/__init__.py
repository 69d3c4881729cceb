"""The verbs of the package as functions: each puts the rooms together, none computes."""
