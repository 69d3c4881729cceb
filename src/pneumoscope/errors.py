"""The hierarchy of exceptions. Each message states the error and a solution.

A solution that is an argument is named by its parameter in backticks: `val_fraction`. The command
line replaces it by its option; messages of the library do not contain options.

::

    PneumoscopeError            base class of all errors
    ├── OptionError             an argument has an invalid value
    ├── MissingArgumentError    a required argument is missing
    ├── ImageError              a file could not be read as a radiograph
    │   ├── UnreachableImageError   not fetched or decoded at the moment
    │   ├── EmptyImageError         the file is empty
    │   ├── NotAnImageError         not in a supported format
    │   ├── DamagedImageError       truncated or corrupt
    │   ├── ImageTooLargeError      more pixels than any radiograph has
    │   └── UnsupportedImageError   an unsupported variant of a known format
    │       ├── NoDecoderError          its decoder is not installed
    │       └── OtherKindError          not a frontal chest radiograph according to the header
    ├── DataError               a folder, a table or a split is invalid
    │   └── LeakError               data are used for a decision they must not be used for
    ├── DownloadError           a data set cannot be downloaded, or is not the expected one
    │   └── FetchError              a file cannot be downloaded
    ├── ModelFileError          a file is not a model, or a run folder contains none
    ├── ManyFindingsError       a single conclusion per image is needed
    ├── WeightsError            pretrained weights are not available or do not fit
    ├── ExportError             the exported graph does not agree with the network
    ├── EngineError             the workers of a long run cannot be reached or fail
    ├── ServiceError            a service refused a request or does not respond
    └── OutputError             a result cannot be written
"""

from __future__ import annotations

from collections.abc import Iterable


class PneumoscopeError(Exception):
    """Base class of all exceptions that this package defines."""


class OptionError(PneumoscopeError):
    """An argument has an invalid value.

    Args:
        name: The name of the argument in Python; the command line replaces it by its option.
        must: The valid values.
        was: The invalid value.
        hint: A suggestion.
    """

    def __init__(self, name: str, *, must: str, was: object, hint: str = "") -> None:
        self.name = name
        self.rest = f" must be {must}, got {was!r}.{f' {hint}' if hint else ''}"
        super().__init__(name + self.rest)


class MissingArgumentError(PneumoscopeError):
    """A required argument of a command is missing."""


class ImageError(PneumoscopeError):
    """A file could not be read as a radiograph.

    Attributes:
        header: Metadata of the file (``ImageMeta``), if a DICOM header could be read.
    """

    header: object = None

    @property
    def passing(self) -> bool:
        """Whether the same bytes may be readable at another time or on another machine."""
        return isinstance(self.__cause__, MemoryError)


class UnreachableImageError(ImageError):
    """The file could not be fetched or decoded at the moment; its content may be valid."""

    passing = True


class EmptyImageError(ImageError):
    """The file is empty."""


class NotAnImageError(ImageError):
    """The content is not in a supported image format, regardless of the suffix."""


class DamagedImageError(ImageError):
    """The file begins like an image, but is truncated or corrupt."""


class ImageTooLargeError(ImageError):
    """The header declares more pixels than any radiograph has (a decompression bomb)."""


class UnsupportedImageError(ImageError):
    """The variant of a known format is not supported."""


class NoDecoderError(UnsupportedImageError):
    """The decoder of this variant is not installed."""

    passing = True


class OtherKindError(UnsupportedImageError):
    """The image is not a frontal chest radiograph according to its header.

    Args:
        name: Name of the file.
        reason: Description of the image.
        header: Metadata of the file (``ImageMeta``); None if unknown.
    """

    def __init__(self, name: str, reason: str, *, header: object = None) -> None:
        super().__init__(f"{name}: {reason}.")
        self.reason = reason
        self.header = header


class DataError(PneumoscopeError):
    """A folder, a table or a split is invalid."""


class LeakError(DataError):
    """Data are used for a decision that they must not be used for, such as test rows."""


class DownloadError(PneumoscopeError):
    """A data set cannot be downloaded, or is not the expected one."""


class FetchError(DownloadError):
    """A file cannot be downloaded from an address.

    Args:
        url: The address.
        reason: The reason, in words.
    """

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(f"{url}: {reason}.")
        self.reason = reason


class ManyFindingsError(PneumoscopeError):
    """An operation that needs a single conclusion per image was called with several findings.

    Args:
        findings: Names of the findings.
        what: The operation; empty if it is obvious.
    """

    def __init__(self, findings: Iterable[str], *, what: str = "") -> None:
        listed = tuple(findings)
        more = f" and {len(listed) - 3} more" if len(listed) > 3 else ""
        super().__init__(
            f"this reader gives a conclusion for each of several findings ({', '.join(listed[:3])}"
            f"{more}), but {what or 'this operation'} needs a single conclusion per image."
        )


class ModelFileError(PneumoscopeError):
    """A file is not a pneumoscope model, or a run folder contains none."""


class WeightsError(PneumoscopeError):
    """Pretrained weights are not available, invalid, or do not fit the network."""


class ExportError(PneumoscopeError):
    """The exported graph does not agree with the network."""


class EngineError(PneumoscopeError):
    """The workers of a long run cannot be reached, do not start, or fail regardless of images."""


class ServiceError(PneumoscopeError):
    """A service refused a request, or does not respond.

    Attributes:
        status: Status of the response; None if there was none.
    """

    def __init__(self, reason: str, *, status: int | None = None) -> None:
        super().__init__(reason)
        self.status = status


class OutputError(PneumoscopeError):
    """A result cannot be written to the requested location."""


def closest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word closest to ``word``; None if none is similar.

    >>> closest("trian", ["train", "test"])
    'train'
    """
    import difflib  # noqa: PLC0415 - only where something is wrong

    close = difflib.get_close_matches(word, list(known), n=1)
    return close[0] if close else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return a hint with the known word closest to ``word``; empty if none is similar.

    >>> did_you_mean("trian", ["train", "test"])
    "Did you mean 'train'?"
    """
    close = closest(word, known)
    return "" if close is None else f"Did you mean {close!r}?"


def nearest(word: str, known: Iterable[str]) -> str:
    """Return a hint with the known word closest to ``word``, or with all known words.

    >>> nearest("x", ["train", "test"])
    'Known: train, test.'
    """
    names = list(known)
    return did_you_mean(word, names) or f"Known: {', '.join(names)}."


def in_words(fault: Exception) -> str:
    """Describe why a table cannot be read.

    >>> in_words(KeyError("label"))
    "no column 'label'; columns must be separated by commas"
    """
    match fault:
        case UnicodeDecodeError():
            return "its text is not UTF-8; save it as CSV in UTF-8"
        case OSError(strerror=str(reason)):
            return reason
        case KeyError(args=(name,)):
            return f"no column {name!r}; columns must be separated by commas"
        case _:
            return str(fault)


def in_range(name: str, value: float, *, low: float, high: float) -> None:
    """Raise an error for a value that is not a number from ``low`` to ``high``.

    Raises:
        OptionError: The value is invalid.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise OptionError(name, must=f"from {low:g} to {high:g}", was=value)


def one_of(name: str, value: str, known: Iterable[str]) -> None:
    """Raise an error for an unknown word.

    Raises:
        OptionError: The word is unknown; the message suggests the closest.
    """
    words = list(known)
    if value not in words:
        raise OptionError(
            name, must=f"one of {', '.join(words)}", was=value, hint=nearest(str(value), words)
        )
