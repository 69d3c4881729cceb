"""Generated chest radiographs, for the demonstration and for the tests.

The images are drawn, not learned and not copied: frontal radiographs of children, with and without
pneumonia. The classes differ only in the opacity in the lungs; size, exposure, noise, markers and
other properties are independent of the class.

``canvas`` converts body coordinates to pixels; ``anatomy`` describes the person, ``opacities`` the
disease, ``layers`` the attenuation of the beam and ``film`` the exposure; ``radiograph`` renders
one image, ``folder`` many.
"""

from __future__ import annotations

from pneumoscope.data.phantom.folder import SPLITS as SPLITS
from pneumoscope.data.phantom.folder import write_folder as write_folder
from pneumoscope.data.phantom.radiograph import LABELS as LABELS
from pneumoscope.data.phantom.radiograph import PATHOGENS as PATHOGENS
from pneumoscope.data.phantom.radiograph import Phantom as Phantom
from pneumoscope.data.phantom.radiograph import render as render

__all__ = ["LABELS", "PATHOGENS", "SPLITS", "Phantom", "render", "write_folder"]
