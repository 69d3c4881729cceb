"""Folder → table → split → cache."""
