"""Split a catalog into training, validation and test.

``groups`` determines which rows must stay together, ``draw`` selects rows, ``parts`` is the result
and its file, and ``make`` combines these steps with checks.
"""

from __future__ import annotations

from pneumoscope.data.split.draw import Block as Block
from pneumoscope.data.split.groups import Shared as Shared
from pneumoscope.data.split.groups import groups_of as groups_of
from pneumoscope.data.split.groups import shared_between_parts as shared_between_parts
from pneumoscope.data.split.make import ENOUGH_TO_DECIDE as ENOUGH_TO_DECIDE
from pneumoscope.data.split.make import VALIDATIONS as VALIDATIONS
from pneumoscope.data.split.make import enough_to_decide as enough_to_decide
from pneumoscope.data.split.make import read_split as read_split
from pneumoscope.data.split.make import split_catalog as split_catalog
from pneumoscope.data.split.parts import UNUSED as UNUSED
from pneumoscope.data.split.parts import Split as Split
from pneumoscope.data.split.parts import parts_in_file as parts_in_file

__all__ = [
    "ENOUGH_TO_DECIDE",
    "UNUSED",
    "VALIDATIONS",
    "Block",
    "Shared",
    "Split",
    "enough_to_decide",
    "groups_of",
    "parts_in_file",
    "read_split",
    "shared_between_parts",
    "split_catalog",
]
