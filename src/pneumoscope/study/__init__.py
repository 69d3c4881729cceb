"""Studies: questions answered by many trainings, and searches for a recipe."""
