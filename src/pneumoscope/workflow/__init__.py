"""The verbs of the package as functions, which combine the other rooms."""
