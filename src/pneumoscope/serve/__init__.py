"""A REST service for reading chest X-rays, and a page for looking at them.

``server`` runs it; ``app`` answers requests, ``admission`` bounds the queue, ``pool`` keeps the
processes that read images (``worker``), ``metrics`` counts.
"""
