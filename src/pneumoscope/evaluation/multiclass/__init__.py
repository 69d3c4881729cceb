"""Metrics of readers with more than two classes, beside those of the positive group."""
