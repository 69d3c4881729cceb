"""A DICOM node that receives images and returns reports and pictures.

``objects`` creates the returned objects (``report``, ``picture``, with UIDs from ``identity``),
``queue`` stores pending work, ``receive`` and ``deliver`` communicate with other nodes, and
``node`` runs them.
"""
