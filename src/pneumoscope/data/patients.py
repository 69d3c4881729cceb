"""Patients of images: from file names to patient, series and number.

The public paediatric data set has two naming schemes. ``personN_bacteria_M`` and
``personN_virus_M`` number patients separately, and so do ``IM-N-…`` and ``NORMAL2-IM-N-…``: the
patient is (series, N). With ``personN`` alone, two patients would become one. The newer release of
the same set names files ``BACTERIA-<id>-<n>``, ``VIRUS-<id>-<n>`` and ``NORMAL-<id>-<n>``.

Source: Kermany, Zhang, Goldbaum (2018), Mendeley Data, doi:10.17632/rscbjbr9sj.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from pneumoscope.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pneumoscope.data.entries import Entry

_UNKNOWN = "image:"  # how tables spell an unknown patient; only read and written here

MANY = 10
"""From this number of images on, a single ID for all of them is considered a placeholder."""

LONGEST_PATTERN = 200
"""Maximum length of a regular expression; longer ones may take forever."""

LONGEST_NAME = 300
"""Number of final characters of a path that a user's pattern is applied to."""

_SCHEMES = (
    (re.compile(r"person(\d+)_(bacteria|virus)_\d+(?:_\d+)?"), r"\2-person\1"),
    (re.compile(r"(NORMAL2-IM|IM)-(\d+)-\d+(?:-\d+)*"), r"\1-\2"),
    (re.compile(r"(BACTERIA|VIRUS|NORMAL)-(\d+)-\d+"), r"\1-\2"),
)
_PLACEHOLDER = re.compile(
    r"anon(ym(ous|i[sz]ed)?)?|unknown|undefined|none|null|nan|n/?a|removed|deleted|blank|test"
    r"|de-?identified|patient(_?id)?|x{3,}|0{4,}|\?+|-+",
    re.IGNORECASE,
)
_NUMBERED = re.compile(r"(.*?)[-_.: ]*(\d{1,18})", re.DOTALL | re.ASCII)
_UNBOUNDED = re.compile(r"[*+]|\{\d*,\d*\}")


@dataclass(frozen=True, slots=True, order=True)
class Patient:
    """The patient of an image: known, with a name in the data, or unknown.

    Each image of an unknown patient counts as a separate patient. Such a patient is named after the
    image, and never equals a known one.

    Attributes:
        name: Name of the patient, or path of the image if the patient is unknown.
        known: Whether the patient is known.
    """

    name: str
    known: bool = True

    @classmethod
    def of(cls, cell: str | None, image: str) -> Patient:
        """Return the patient of a table cell; an empty cell gives an unknown patient.

        Args:
            cell: A name; empty, None, or the text of an unknown patient as given by ``str``.
            image: The path of the image.

        >>> str(Patient.of("p17", "a.png")), str(Patient.of("", "a.png"))
        ('p17', 'image:a.png')
        """
        name = (cell or "").strip()
        if name and not name.startswith(_UNKNOWN):
            return cls(name)
        return cls(name.removeprefix(_UNKNOWN) or image, known=False)

    def __str__(self) -> str:
        """Return the patient as written in tables."""
        return self.name if self.known else f"{_UNKNOWN}{self.name}"


@dataclass(frozen=True, slots=True, order=True)
class PatientKey:
    """The position of a patient in the numbering of the data: series and number."""

    series: str
    number: int

    @classmethod
    def of(cls, patient: Patient) -> PatientKey | None:
        """Return the key of a patient whose name ends in a number, otherwise None.

        >>> PatientKey.of(Patient("NORMAL2-IM-0383"))
        PatientKey(series='NORMAL2-IM', number=383)
        >>> PatientKey.of(Patient("17"))
        PatientKey(series='', number=17)
        """
        found = _NUMBERED.fullmatch(patient.name) if patient.known else None
        return cls(found[1], int(found[2])) if found else None


def patient_of(path: str) -> str | None:
    """Return the patient in a file name, None if there is none.

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


def is_placeholder(patient: str) -> bool:
    """Return whether a patient ID is a placeholder left by de-identification.

    >>> is_placeholder("ANONYMOUS"), is_placeholder("0000"), is_placeholder("ANON-17")
    (True, True, False)
    """
    return _PLACEHOLDER.fullmatch(patient.strip()) is not None


def patient_of_image(
    path: str, *, stated: str = "", pattern: PatientPattern | None = None, in_file: str = ""
) -> str | None:
    """Return the patient of an image from all sources, None if unknown.

    Args:
        path: Path relative to the data folder.
        stated: The patient in a manifest, which takes precedence.
        pattern: The user's pattern, which comes second.
        in_file: The patient in the file, such as DICOM's PatientID, which comes third. The naming
            schemes of the public data set come last, since other software uses similar names.
    """
    return stated or (pattern and pattern.patient_of(path)) or in_file or patient_of(path)


def settle_patients(entries: Sequence[Entry]) -> tuple[list[Entry], list[str]]:
    """Replace placeholder patients, and return notes for the user.

    IDs such as ANONYMOUS, and one ID shared by many images, would merge many patients; such images
    get the patient in their file names, if any.

    Args:
        entries: The images, with the patients given by the data.
    """
    warnings = []
    named = [entry.patient.name for entry in entries if entry.patient.known]
    placeholders = {name for name in set(named) if is_placeholder(name)}
    if len(entries) >= MANY and len(set(named)) == 1 and len(named) == len(entries):
        placeholders = set(named)
    if placeholders:
        number = sum(name in placeholders for name in named)
        shown = ", ".join(sorted(placeholders)[:3])
        warnings.append(
            f"{number:,} images have a placeholder instead of a patient ({shown}); their "
            "patients count as unknown."
        )
        entries = [
            replace(entry, patient=Patient.of(patient_of(entry.path), entry.path))
            if entry.patient.known and entry.patient.name in placeholders
            else entry
            for entry in entries
        ]
    left = Counter(entry.patient.name for entry in entries if entry.patient.known)
    if left and len(entries) >= MANY:
        name, number = left.most_common(1)[0]
        if number > len(entries) / 2:
            warnings.append(
                f"{number:,} of {len(entries):,} images have the same patient ({name}); check "
                "the patient IDs."
            )
    return list(entries), warnings


@dataclass(frozen=True, slots=True)
class PatientPattern:
    r"""A user's regular expression that extracts the patient from a path.

    The expression is searched in the path relative to the data folder, with ``/`` between folders.
    The patient is the group named ``patient``, or the first group; a group named ``series``, if
    present, distinguishes patients with the same number.

    >>> PatientPattern(r"(?P<series>site\d)/p(?P<patient>\d+)").patient_of("ill/site2/p07_1.png")
    'site2-07'

    Attributes:
        text: The expression.
        inherited: Whether it is the pattern of a run, for which finding nothing in other data is no
            error.

    Raises:
        OptionError: It is not a regular expression, has no group, or could take forever.
    """

    text: str
    inherited: bool = False

    def __post_init__(self) -> None:
        option = "patient_regex"
        if len(self.text) > LONGEST_PATTERN:
            raise OptionError(
                option,
                must=f"at most {LONGEST_PATTERN} characters",
                was=f"{self.text[:40]}…",
                hint="For anything more complicated, use a manifest with a patient column.",
            )
        try:
            pattern = re.compile(self.text)
        except (re.error, OverflowError, RecursionError) as fault:
            raise OptionError(
                option, must="a regular expression", was=self.text, hint=f"{fault}."
            ) from fault
        names = set(pattern.groupindex)
        if not pattern.groups or (names and "patient" not in names):
            raise OptionError(
                option,
                must="a pattern with the patient in parentheses, or in (?P<patient>…)",
                was=self.text,
                hint=r"For p0017_2.png try 'p(\d+)_'.",
            )
        if _may_explode(self.text):
            raise OptionError(
                option,
                must="without a repeated group that repeats or branches inside, such as (a+)+",
                was=self.text,
                hint="Such a pattern can take hours for a single name.",
            )

    def patient_of(self, path: str) -> str | None:
        """Return the patient that the pattern finds in a path, otherwise None."""
        found = re.search(self.text, path[-LONGEST_NAME:])  # re caches compiled patterns
        if found is None:
            return None
        named = found.groupdict()
        patient = named["patient"] if "patient" in named else found[1]
        if not patient:
            return None
        series = named.get("series")
        return f"{series}-{patient}" if series else patient


def _may_explode(pattern: str) -> bool:
    """Return whether a pattern has nested unbounded repetition.

    Python tries every way of dividing a text among such repetitions, and their number doubles with
    each character. Some harmless patterns are refused as well.
    """
    restless = [False]  # a flag for each open group: whether something inside repeats or branches
    in_class = False
    place = 0
    while place < len(pattern):
        character = pattern[place]
        place += 2 if character == "\\" else 1
        if in_class:
            in_class = character != "]"
        elif character == "[":
            in_class = True
            place += pattern[place : place + 1] == "^"
            place += pattern[place : place + 1] == "]"  # a literal character here
        elif character == "(":
            restless.append(False)
        elif character == ")":
            inside = restless.pop()
            repeated = _UNBOUNDED.match(pattern, place) is not None
            if inside and repeated:
                return True
            restless[-1] |= inside or repeated
        elif character == "|" or _UNBOUNDED.match(pattern, place - 1):
            restless[-1] = True
    return False
