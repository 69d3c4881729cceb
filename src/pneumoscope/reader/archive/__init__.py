"""Long runs over many files: which files, the output, its journal, its summary."""
