"""A trained reader as one file, and what it says of an image. No training framework is needed."""
