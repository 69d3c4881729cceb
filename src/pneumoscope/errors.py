"""The tree of exceptions. Each message names the fault and the way out.

A way out that is an argument is named by its parameter, between backticks: `val_fraction`. The
command line puts its own option in that place; no message of the library names one.

::

    PneumoscopeError            everything this package raises on purpose
    ├── OptionError             an argument has a value that it cannot have
    ├── MissingArgumentError    a command was not told what it is about
    ├── ImageError              one file could not be read as a radiograph
    │   ├── UnreachableImageError   it could not be fetched or decoded here and now
    │   ├── EmptyImageError         nothing in it
    │   ├── NotAnImageError         its content is no format that is read
    │   ├── DamagedImageError       truncated or corrupt
    │   ├── ImageTooLargeError      claims more pixels than any radiograph has
    │   └── UnsupportedImageError   a known format in a variant that is not read
    │       ├── NoDecoderError          its decoder is not installed
    │       └── OtherKindError          no frontal chest radiograph, by what its header says
    ├── DataError               a folder, a table or a split cannot be worked with
    │   └── LeakError               data is used for a decision that it must not make
    ├── DownloadError           a data set cannot be fetched, or is not what it should be
    │   └── FetchError              one address does not give its file
    ├── ModelFileError          a file is no model, or a run folder holds none
    ├── WeightsError            pretrained weights cannot be had, or do not fit the network
    ├── ExportError             the exported graph does not agree with the network
    ├── EngineError             workers of a long run cannot be had, or fail
    ├── ServiceError            a service refused a request, or does not answer
    └── OutputError             a result cannot be written where it was asked for
"""

from __future__ import annotations

from collections.abc import Iterable


class PneumoscopeError(Exception):
    """Base of everything that this package raises on purpose."""


class OptionError(PneumoscopeError):
    """An argument has a value that it cannot have.

    Args:
        name: The argument, as Python writes it; the command line names its own option instead.
        must: What it must be.
        was: What it was.
        hint: What to try instead.
    """

    def __init__(self, name: str, *, must: str, was: object, hint: str = "") -> None:
        self.name = name
        self.rest = f" must be {must}, got {was!r}.{f' {hint}' if hint else ''}"
        super().__init__(name + self.rest)


class MissingArgumentError(PneumoscopeError):
    """A command was not told what it is about."""


class ImageError(PneumoscopeError):
    """One file could not be read as a radiograph.

    Attributes:
        header: What its header says (``ImageMeta``), where a DICOM header could be read.
    """

    header: object = None

    @property
    def passing(self) -> bool:
        """Whether the same bytes may be read at another time or on another machine."""
        return isinstance(self.__cause__, MemoryError)


class UnreachableImageError(ImageError):
    """The file could not be fetched or decoded here and now; its content may be sound."""

    passing = True


class EmptyImageError(ImageError):
    """The file holds no bytes."""


class NotAnImageError(ImageError):
    """The content is no image format that is read here, whatever the suffix says."""


class DamagedImageError(ImageError):
    """The file begins like an image, but is truncated or corrupt."""


class ImageTooLargeError(ImageError):
    """The header claims more pixels than any radiograph has (a decompression bomb)."""


class UnsupportedImageError(ImageError):
    """A known format in a variant that is not read."""


class NoDecoderError(UnsupportedImageError):
    """What decodes this variant is not installed."""

    passing = True


class OtherKindError(UnsupportedImageError):
    """Not a frontal chest radiograph, by what the header says of modality, view or body part.

    Args:
        name: What the file is called.
        reason: What it is instead.
        header: What the header says, the ``ImageMeta`` of the file; None if it is not known.
    """

    def __init__(self, name: str, reason: str, *, header: object = None) -> None:
        super().__init__(f"{name}: {reason}.")
        self.reason = reason
        self.header = header


class DataError(PneumoscopeError):
    """A folder, a table or a split cannot be worked with."""


class LeakError(DataError):
    """Data is used for a decision that it must not make (test rows, say)."""


class DownloadError(PneumoscopeError):
    """A data set cannot be fetched, or what came is not what it should be."""


class FetchError(DownloadError):
    """One address does not give its file.

    Args:
        url: The address.
        reason: Why, in words.
    """

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(f"{url}: {reason}.")
        self.reason = reason


class ModelFileError(PneumoscopeError):
    """A file is no pneumoscope model, or a run folder holds none."""


class WeightsError(PneumoscopeError):
    """Pretrained weights cannot be had, are not what they should be, or do not fit the network."""


class ExportError(PneumoscopeError):
    """The exported graph does not agree with the network that it was made from."""


class EngineError(PneumoscopeError):
    """The workers of a long run cannot be reached or do not start, or one fails by no image."""


class ServiceError(PneumoscopeError):
    """A service refused a request, or does not answer.

    Attributes:
        status: Of the answer; None if there was none.
    """

    def __init__(self, reason: str, *, status: int | None = None) -> None:
        super().__init__(reason)
        self.status = status


class OutputError(PneumoscopeError):
    """A result cannot be written where it was asked for."""


def closest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that ``word`` is most likely a misspelling of; None if there is none.

    >>> closest("trian", ["train", "test"])
    'train'
    """
    import difflib  # noqa: PLC0415 - only where something is wrong

    close = difflib.get_close_matches(word, list(known), n=1)
    return close[0] if close else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return a hint that names the known word nearest to ``word``; empty if none is near.

    >>> did_you_mean("trian", ["train", "test"])
    "Did you mean 'train'?"
    """
    close = closest(word, known)
    return "" if close is None else f"Did you mean {close!r}?"


def nearest(word: str, known: Iterable[str]) -> str:
    """Return a hint that names the known word nearest to ``word``, or lists them all.

    >>> nearest("x", ["train", "test"])
    'Known: train, test.'
    """
    names = list(known)
    return did_you_mean(word, names) or f"Known: {', '.join(names)}."


def in_words(fault: Exception) -> str:
    """Return what is wrong with a table that cannot be read, for people.

    >>> in_words(KeyError("label"))
    "no column 'label'; between columns stand commas"
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
    """Refuse a value that is no number from ``low`` to ``high``.

    Raises:
        OptionError: It is something else.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise OptionError(name, must=f"from {low:g} to {high:g}", was=value)


def one_of(name: str, value: str, known: Iterable[str]) -> None:
    """Refuse a word that is not known.

    Raises:
        OptionError: It is not; the message names the nearest.
    """
    words = list(known)
    if value not in words:
        raise OptionError(
            name, must=f"one of {', '.join(words)}", was=value, hint=nearest(str(value), words)
        )
