"""Download a public data set and verify that it is complete.

``manifest`` describes the contents of the data set and checks folders against it, ``fetch``
downloads a file over an unreliable connection, ``listing`` downloads many files, and ``unpack``
extracts images from an archive or a folder. ``workflow.download`` combines them.
"""

from __future__ import annotations

from pneumoscope.data.download.manifest import DATA_SETS as DATA_SETS
from pneumoscope.data.download.manifest import Manifest as Manifest
from pneumoscope.data.download.manifest import Verification as Verification
from pneumoscope.data.download.manifest import load_manifest as load_manifest
from pneumoscope.data.download.manifest import verify_folder as verify_folder

__all__ = [
    "DATA_SETS",
    "Manifest",
    "Verification",
    "load_manifest",
    "verify_folder",
]
