"""Long runs over many files: input files, output, journal and summary."""
