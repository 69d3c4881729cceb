"""The commands of the package as functions, which combine the other subpackages."""
