"""Scores and metrics of readers of several findings per image."""
