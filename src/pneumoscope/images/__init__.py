"""From files to pixels to model input.

Importing it only loads numpy; Pillow is loaded with the first image, pydicom with the first DICOM
file.
"""
