"""Scores → numbers. Everything here is computed from a scores file alone."""
