"""Scores and metrics of readers of several findings an image."""
