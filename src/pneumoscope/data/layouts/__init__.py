"""Layouts of data sets: class folders, manifests and public data sets.

``description`` defines how a table is read; ``known/`` contains the descriptions of public data
sets, and ``shipped`` recognises them. ``folders`` walks class folders, ``rows`` reads tables,
``labels`` maps names to classes, and ``listing`` combines these steps.
"""

from __future__ import annotations

from pneumoscope.data.layouts.description import TableDescription as TableDescription
from pneumoscope.data.layouts.labels import ClassMap as ClassMap
from pneumoscope.data.layouts.listing import Listing as Listing
from pneumoscope.data.layouts.listing import list_data as list_data
from pneumoscope.data.layouts.options import DataOptions as DataOptions
from pneumoscope.data.layouts.options import data_options as data_options

__all__ = [
    "ClassMap",
    "DataOptions",
    "Listing",
    "TableDescription",
    "data_options",
    "list_data",
]
