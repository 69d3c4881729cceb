"""Extract the images of a data set from an archive or a folder of any layout."""

from __future__ import annotations

import lzma
import shutil
import stat
import struct
import zipfile
import zlib
from collections import defaultdict
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING

from pneumoscope.data.download.disk import write_all, written
from pneumoscope.data.download.manifest import Manifest, is_junk
from pneumoscope.errors import DownloadError, OutputError
from pneumoscope.images.read import MAX_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pneumoscope.parallel import Progress

MOST_BYTES = 16 * 2**30
"""Maximum total size of an archive; the data set has little more than one GiB."""

MOST_FILES = 100_000

_DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    ValueError,
    OverflowError,
    RuntimeError,  # encrypted, or compressed with an unknown method
)


def unpack(
    archive: Path, folder: Path, manifest: Manifest, *, progress: Progress | None = None
) -> None:
    """Extract the images of a zip archive into the folders of a data set.

    The data set may be at any depth, as in Kaggle's archive; of several copies, the uppermost is
    used. Other members are ignored.

    Args:
        archive: A zip file.
        folder: Destination of ``train/NORMAL`` etc.
        manifest: The folders to look for.
        progress: Called with (images, total images).

    Raises:
        DownloadError: It is not a zip archive, is damaged or too large, or contains a path outside
            the folder.
        OutputError: The images cannot be written.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            members = [info for info in opened.infolist() if not info.is_dir()]
            _check_members(archive, members)
            chosen = _chosen((info.filename for info in members), manifest)
            sizes = sum(info.file_size for info in members if info.filename in chosen)
            _check_room(folder, sizes)
            for done, (name, place) in enumerate(sorted(chosen.items()), 1):
                with opened.open(name) as source:
                    _write(source, folder / place)
                if progress:
                    progress(done, len(chosen))
    except _DAMAGED as fault:
        raise DownloadError(f"{archive}: not a valid zip archive ({fault}).") from fault
    except OSError as fault:
        raise DownloadError(f"{archive}: cannot be read ({fault.strerror or fault}).") from fault


def gather(
    source: Path, folder: Path, manifest: Manifest, *, progress: Progress | None = None
) -> None:
    """Copy the images of a data set from a folder of any layout.

    Raises:
        DownloadError: The folder does not contain this data set, or cannot be read.
        OutputError: The images cannot be written.
    """
    try:
        names = [
            path.relative_to(source).as_posix() for path in source.rglob("*") if path.is_file()
        ]
        chosen = _chosen(names, manifest)
        for done, (name, place) in enumerate(sorted(chosen.items()), 1):
            with (source / name).open("rb") as file:
                _write(file, folder / place)
            if progress:
                progress(done, len(chosen))
    except OSError as fault:
        raise DownloadError(f"{source}: cannot be read ({fault.strerror or fault}).") from fault


def is_safe(name: str) -> bool:
    """Return whether a relative path stays inside the folder that it is joined to."""
    path = PurePosixPath(name)
    return bool(
        name
        and "\\" not in name
        and "\0" not in name
        and ":" not in name.split("/", maxsplit=1)[0]
        and not path.is_absolute()
        and ".." not in path.parts
    )


def _check_members(archive: Path, members: list[zipfile.ZipInfo]) -> None:
    for info in members:
        if not is_safe(info.filename) or stat.S_ISLNK(info.external_attr >> 16):
            raise DownloadError(
                f"{archive}: refused, because its member {info.filename!r} is outside the folder."
            )
    sizes = [info.file_size for info in members]
    if len(sizes) > MOST_FILES or sum(sizes) > MOST_BYTES or max(sizes, default=0) > MAX_BYTES:
        raise DownloadError(
            f"{archive}: refused, because it declares {len(sizes):,} files with "
            f"{sum(sizes):,} bytes."
        )


def _chosen(names: Iterable[str], manifest: Manifest) -> dict[str, str]:
    """Return path → target for the uppermost copy of a data set among paths."""
    by_top: dict[tuple[str, ...], dict[str, str]] = defaultdict(dict)
    for name in names:
        parts = PurePosixPath(name).parts
        if len(parts) < 3 or any(is_junk(part) for part in parts):
            continue
        if "/".join(parts[-3:-1]) in manifest.folders:
            by_top[parts[:-3]][name] = "/".join(parts[-3:])
    if not by_top:
        wanted = ", ".join(manifest.folders)
        raise DownloadError(f"this is not {manifest.title}: it has none of the folders {wanted}.")
    return by_top[min(by_top, key=lambda top: (len(top), top))]


def _check_room(folder: Path, needed: int) -> None:
    with written(folder):
        free = shutil.disk_usage(folder.parent).free
    if needed > free:
        raise OutputError(
            f"{folder}: {needed:,} bytes are needed, but only {free:,} are free; free some "
            "space, or choose another folder with `to`."
        )


def _write(source: IO[bytes], place: Path) -> None:
    with written(place):
        place.parent.mkdir(parents=True, exist_ok=True)
        out = place.open("wb", buffering=0)
    with out:
        while chunk := source.read(1 << 18):
            with written(place):
                write_all(out, chunk)
