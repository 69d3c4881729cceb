"""A model file: its contents checked, its metadata read, its graph opened, its self-test run."""
