"""Download a public data set and verify that it is complete.

The rooms: ``manifest`` knows what the data set holds and checks folders against it, ``fetch``
brings bytes over unreliable lines, ``listing`` many files, ``unpack`` takes the images out of an
archive or a folder. ``workflow.download`` puts them together.
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
