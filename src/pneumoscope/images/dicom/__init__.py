"""DICOM files: grey pixels and header facts."""

from pneumoscope.images.dicom.file import decode as decode
from pneumoscope.images.dicom.file import probe as probe
