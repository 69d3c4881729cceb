"""Download a public data set into a verified folder."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pneumoscope.data.download.fetch import check_url, fetch
from pneumoscope.data.download.listing import MOST_LISTING_BYTES, fetch_listed, read_listing
from pneumoscope.data.download.manifest import (
    DATA_SETS,
    Manifest,
    Verification,
    load_manifest,
    verify_folder,
)
from pneumoscope.data.download.unpack import MOST_BYTES, gather, unpack
from pneumoscope.errors import DownloadError, OutputError
from pneumoscope.installation import install_command
from pneumoscope.runs import is_of_writing
from pneumoscope.watch import Watcher

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pneumoscope.parallel import Progress

_MIB = 2**20


def download_data_set(
    data_set: str, to: Path, *, source: str | None = None, watcher: Watcher | None = None
) -> Verification:
    """Download a public data set into a folder, which only appears after verification.

    Files are downloaded into a hidden folder next to it. If the connection is lost permanently,
    that folder remains, and the same call continues from it.

    Args:
        data_set: Name of the data set, such as ``kermany``.
        to: The folder; it must not exist or must be empty.
        source: The address of a zip archive, or of a listing (``….json``); None for Kaggle.
        watcher: Receives progress reports.

    Raises:
        OptionError: An unknown data set, or an invalid address.
        DownloadError: The download failed, or the files are not the expected ones.
        OutputError: The folder cannot be written, or is not empty.

    Example:
        >>> download_data_set("kermany", Path("chest_xray"))  # doctest: +SKIP
    """
    watcher = watcher or Watcher()
    manifest = load_manifest(data_set)
    if source is not None:
        check_url(source)
    work = to.parent / f".{to.name}.downloading"
    with _usable(to):
        if to.exists() and (not to.is_dir() or any(to.iterdir())):
            raise OutputError(
                f"{to} exists already; check it with `verify={to}`, or choose another `to`."
            )
        work.mkdir(parents=True, exist_ok=True)
    files = work / "files"
    try:
        _collect(data_set, manifest, source, files, watcher=watcher)
    except DownloadError as fault:
        with contextlib.suppress(OSError):
            work.rmdir()  # nothing was downloaded
        kept = (
            f" The downloaded part is kept in {work}; repeat the command to continue."
            if _holds(work)
            else ""
        )
        raise DownloadError(
            f"{fault}{kept} If this machine cannot reach the address, download "
            f'"{manifest.title}" manually from kaggle.com/datasets/{DATA_SETS[data_set]} '
            f"({manifest.source}), unpack it, and check it with: `download(verify=FOLDER)`"
        ) from fault
    with watcher.progress("Verifying") as progress:
        found = verify_folder(files, manifest, progress=progress)
    if not found.sound:
        shutil.rmtree(work, ignore_errors=True)
        raise DownloadError(
            f"the downloaded data are not {manifest.title} and were removed:\n{found.text(shown=5)}"
        )
    with _usable(to):
        if to.is_dir():
            to.rmdir()  # it is empty; not all systems can rename onto an existing folder
        files.replace(to)
    shutil.rmtree(work, ignore_errors=True)
    return found


def verify_data_set(
    folder: Path, *, data_set: str = "kermany", watcher: Watcher | None = None
) -> Verification:
    """Return what is missing, additional or wrong in a folder of a public data set.

    Raises:
        OptionError: An unknown data set.
        DataError: The folder does not exist.
    """
    with (watcher or Watcher()).progress("Verifying") as progress:
        return verify_folder(folder, load_manifest(data_set), progress=progress)


def _collect(
    data_set: str, manifest: Manifest, source: str | None, files: Path, *, watcher: Watcher
) -> None:
    """Fill ``files`` from the source of the data set."""
    if source is None:
        _forget(files)
        watcher.say("Downloading from Kaggle; its package keeps a copy of the data in its cache.")
        kept = _from_kaggle(DATA_SETS[data_set])
        with watcher.progress("Copying") as progress:
            gather(kept, files, manifest, progress=progress)
        return
    name = hashlib.sha256(source.encode()).hexdigest()[:12]
    if urlsplit(source).path.endswith(".json"):
        listing = files.parent / f"{name}.json"
        fetch(source, listing, most_bytes=MOST_LISTING_BYTES)
        listed = read_listing(listing, manifest)
        with watcher.progress("Fetching", unit="files") as progress, _usable(files):
            fetch_listed(listed, source, files, progress=progress)
        return
    archive = files.parent / f"{name}.zip"
    if not archive.exists():
        with watcher.progress("Fetching", unit="MiB") as progress:
            fetch(source, archive, most_bytes=MOST_BYTES, progress=_in_mib(progress))
    _forget(files)
    try:
        with watcher.progress("Unpacking") as progress:
            unpack(archive, files, manifest, progress=progress)
    except DownloadError as fault:
        if not isinstance(fault.__cause__, OSError):  # it is invalid, not temporarily unavailable
            archive.unlink(missing_ok=True)  # the next attempt must not use it
        raise
    except OutputError:
        _forget(files)
        raise


def _from_kaggle(name: str) -> Path:
    """Return the folder in which Kaggle's package stored a data set."""
    try:
        import kagglehub  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as fault:
        raise DownloadError(
            "downloading from Kaggle needs the package 'kagglehub', which is not installed; "
            f"install the extra: {install_command('download')}, or give another source with "
            "`source`."
        ) from fault
    try:
        return Path(kagglehub.dataset_download(name))
    except Exception as fault:  # its exceptions have no common base class
        raise DownloadError(
            f"Kaggle does not provide {name} ({str(fault) or type(fault).__name__})."
        ) from fault


def _in_mib(progress: Progress) -> Progress:
    """Return a progress callback in bytes that reports whole MiB."""
    reported = -1

    def advance(done: int, total: int) -> None:
        nonlocal reported
        if done // _MIB > reported:
            reported = done // _MIB
            progress(reported, -(-total // _MIB))

    return advance


def _holds(work: Path) -> bool:
    return any(path.is_file() for path in work.rglob("*"))


def _forget(files: Path) -> None:
    with _usable(files):
        if files.exists():
            shutil.rmtree(files)


@contextlib.contextmanager
def _usable(place: Path) -> Iterator[None]:
    try:
        yield
    except OSError as fault:
        if not is_of_writing(fault, place):
            raise
        raise OutputError(
            f"{place}: cannot be written ({fault.strerror or fault}); choose another `to`."
        ) from fault
