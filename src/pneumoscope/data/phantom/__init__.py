"""Generated chest radiographs, for the demonstration and for the tests.

They are drawn, not learnt and not copied: frontal films of children, with and without pneumonia,
made so that a reader has to look. What tells the classes apart is the opacity in the lungs alone;
size, exposure, noise, markers and what else a film shows are drawn without regard to the class.

The rooms: ``canvas`` turns body coordinates into pixels, ``anatomy`` is the person, ``opacities``
the disease, ``film`` the image; ``layers`` is what the beam meets, ``radiograph`` one finished
image, ``folder`` many.
"""

from __future__ import annotations

from pneumoscope.data.phantom.folder import SPLITS as SPLITS
from pneumoscope.data.phantom.folder import write_folder as write_folder
from pneumoscope.data.phantom.radiograph import LABELS as LABELS
from pneumoscope.data.phantom.radiograph import PATHOGENS as PATHOGENS
from pneumoscope.data.phantom.radiograph import Phantom as Phantom
from pneumoscope.data.phantom.radiograph import render as render

__all__ = ["LABELS", "PATHOGENS", "SPLITS", "Phantom", "render", "write_folder"]
