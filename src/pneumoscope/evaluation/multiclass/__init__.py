"""Metrics of readers with more than two classes, in addition to those of the positive group."""
