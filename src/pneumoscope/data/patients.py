"""File name → patient, for the naming schemes of the public paediatric data set.

``personN_bacteria_M`` and ``personN_virus_M`` number patients separately, and so do ``IM-N-…`` and
``NORMAL2-IM-N-…``: the patient is (series, N). Bare ``personN`` would make one patient of two.
The newer release of the same set names files ``BACTERIA-<id>-<n>``, ``VIRUS-<id>-<n>`` and
``NORMAL-<id>-<n>``.

Source: Kermany, Zhang, Goldbaum (2018), Mendeley Data, doi:10.17632/rscbjbr9sj.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath

_SCHEMES = (
    (re.compile(r"person(\d+)_(bacteria|virus)_\d+(?:_\d+)?"), r"\2-person\1"),
    (re.compile(r"(NORMAL2-IM|IM)-(\d+)-\d+(?:-\d+)*"), r"\1-\2"),
    (re.compile(r"(BACTERIA|VIRUS|NORMAL)-(\d+)-\d+"), r"\1-\2"),
)


def patient_of(path: str) -> str | None:
    """Return the patient key that a file's name carries, None if it carries none.

    >>> patient_of("train/PNEUMONIA/person1_bacteria_2.jpeg")
    'bacteria-person1'
    >>> patient_of("NORMAL2-IM-0383-0001.jpeg")
    'NORMAL2-IM-0383'
    """
    stem = PurePosixPath(path).name.split(".")[0]
    for pattern, key in _SCHEMES:
        found = pattern.fullmatch(stem)
        if found:
            return found.expand(key)
    return None
