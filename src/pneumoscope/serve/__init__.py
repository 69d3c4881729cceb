"""A REST service for reading chest X-rays, with a web page.

``server`` runs the service. ``app`` is the ASGI application: ``guard`` is its middleware,
``reading`` and ``about`` contain its routes. ``admission`` limits the queue, ``pool`` manages the
processes that read images (``process`` on the side of the service, ``worker`` in the process), and
``metrics`` counts requests and conclusions.
"""
