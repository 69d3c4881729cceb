"""Input checks: whether an image can be assessed, by its header, pixels and features."""
