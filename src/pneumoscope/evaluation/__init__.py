"""Evaluation: everything here is computed from a scores file alone."""
