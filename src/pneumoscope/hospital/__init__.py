"""A DICOM node that receives images and returns reports and pictures.

``objects`` makes what is given back (``report``, ``picture``; ``identity`` names it), ``queue``
keeps what has to be done, ``receive`` and ``deliver`` speak with other nodes, ``node`` runs all of
it.
"""
