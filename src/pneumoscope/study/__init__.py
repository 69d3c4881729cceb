"""Many trainings as one piece of work: questions with answers, and searches for a recipe."""
