"""Input checks: whether an image may be judged, by its header, its pixels and its features."""
