"""A REST service for reading chest X-rays, with a web page.

``server`` runs it; ``app`` answers requests (``reading`` and ``about`` are its routes, ``guard``
stands before them), ``admission`` bounds the queue, ``pool`` keeps the processes that read images
(``process`` on this side, ``worker`` on the other), ``metrics`` counts.
"""
