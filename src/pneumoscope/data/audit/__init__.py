"""Audit of a folder of images: contents, problems and label shortcuts."""
