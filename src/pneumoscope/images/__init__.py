"""From files to pixels to model input.

Importing it takes numpy alone; Pillow comes with the first image, pydicom with the first DICOM.
"""
