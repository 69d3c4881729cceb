"""Run folders, provenance, and atomic file writing."""

from __future__ import annotations

import contextlib
import csv
import datetime
import errno
import hashlib
import io
import json
import os
import platform
import secrets
import shutil
import subprocess
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, BinaryIO

from pneumoscope.errors import OutputError
from pneumoscope.parallel import cores

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

_PACKAGES = ("pneumoscope", "numpy", "pillow", "onnxruntime", "torch", "lightning", "onnx")


_OF_THE_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO}


def is_of_writing(fault: OSError, *places: Path) -> bool:
    """Return whether an error comes from writing at the given paths.

    An error with a file name is a write error if the file is one of the paths, in one of them or a
    parent of one. An error without a file name is a write error if it concerns a disk, or comes
    from an encoder, which has no error number; a broken connection or pipe is not.
    """
    if isinstance(fault.filename, str | bytes):
        named = Path(os.fsdecode(fault.filename))
        return any(
            named == place or named in place.parents or place in named.parents for place in places
        )
    return fault.errno in _OF_THE_DISK or (fault.errno is None and type(fault) is OSError)


@contextlib.contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Yield a temporary path that replaces ``path`` when the block succeeds.

    Raises:
        OutputError: The path cannot be written. Other exceptions of the block are not changed.
    """
    temporary = path.with_name(f".{path.name[:100]}.{secrets.token_hex(4)}.part")
    try:
        with _named_faults(path, temporary):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            temporary.replace(path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def files_written_whole(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder whose files are moved to ``folder`` when the block succeeds.

    Files of the same names are replaced; all others are kept. If the block fails, for example
    because the disk is full, ``folder`` is unchanged, or still missing if it did not exist.

    Raises:
        OutputError: The folder cannot be written.
    """
    made = not folder.exists()
    temporary = folder / f".{secrets.token_hex(4)}.part"
    try:
        with _named_faults(folder, temporary):
            temporary.mkdir(parents=True)
            yield temporary
            for file in sorted(path for path in temporary.rglob("*") if not path.is_dir()):
                place = folder / file.relative_to(temporary)
                place.parent.mkdir(parents=True, exist_ok=True)
                file.replace(place)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        if made:
            with contextlib.suppress(OSError):  # it contains the written files
                folder.rmdir()


@contextlib.contextmanager
def _named_faults(path: Path, temporary: Path) -> Iterator[None]:
    """Turn system errors about writing into one message; other errors pass through."""
    try:
        yield
    except OutputError as error:  # of a file in a temporary folder, whose name is meaningless
        if not isinstance(error.__cause__, OSError):
            raise
        raise _cannot_be_written(path, error.__cause__) from error.__cause__
    except OSError as fault:
        if not is_of_writing(fault, path, temporary):
            raise
        raise _cannot_be_written(path, fault) from fault


def _cannot_be_written(path: Path, fault: OSError) -> OutputError:
    return OutputError(
        f"{path}: cannot be written ({fault.strerror or fault}); choose another folder, or free "
        "some space."
    )


def part_pattern(path: Path) -> str:
    """Return the glob pattern of the temporary names used by ``written_whole``."""
    name = "".join(f"[{sign}]" if sign in "[*?" else sign for sign in path.name[:100])
    return f".{name}.????????.part"


def name_digest(path: str) -> str:
    """Return the SHA-256 of a lower-case file name without folder and suffix.

    >>> name_digest("train/NORMAL/IM-0115-0001.jpeg") == name_digest("IM-0115-0001.PNG")
    True
    """
    return hashlib.sha256(
        PurePath(path).stem.lower().encode("utf-8", "surrogateescape")
    ).hexdigest()


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's content, as hexadecimal digits.

    Raises:
        OSError: The file cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_text(path: Path, text: str) -> None:
    """Write a text file (UTF-8) atomically."""
    with written_whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: object) -> None:
    """Write a JSON file atomically."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV file (UTF-8, RFC 4180 quoting) atomically."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    write_text(path, text.getvalue())


def lock(file: BinaryIO | int, path: Path) -> None:
    """Lock a file or folder against other processes while the file object is open.

    Raises:
        OutputError: Another process holds the lock.
    """
    try:
        import fcntl  # noqa: PLC0415 - not on Windows
    except ImportError:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as fault:
        raise OutputError(
            f"{path}: another process is writing here; wait for it to finish."
        ) from fault
    except OSError:  # a file system without locks
        return


@contextlib.contextmanager
def locked_folder(path: Path) -> Iterator[None]:
    """Lock a folder against other processes while the block runs.

    Raises:
        OutputError: Another process holds the lock.
    """
    if os.name == "nt":  # folders cannot be opened on this system
        yield
        return
    folder = os.open(path, os.O_RDONLY)
    try:
        lock(folder, path)
        yield
    finally:
        os.close(folder)


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The folder of one training run; its attributes are the paths of its files."""

    root: Path

    @property
    def config(self) -> Path:
        """The recipe, written before training."""
        return self.root / "config.yaml"

    @property
    def catalog(self) -> Path:
        """The table of the images."""
        return self.root / "catalog.csv"

    @property
    def split(self) -> Path:
        """The part of each image."""
        return self.root / "split.csv"

    @property
    def log(self) -> Path:
        """The training log, one row per epoch."""
        return self.root / "log.csv"

    @property
    def checkpoints(self) -> Path:
        """``best.ckpt`` and ``last.ckpt``."""
        return self.root / "checkpoints"

    @property
    def model(self) -> Path:
        """The model file."""
        return self.root / "model.onnx"

    @property
    def metrics(self) -> Path:
        """The evaluations, one per part."""
        return self.root / "metrics.json"

    @property
    def new_patients(self) -> Path:
        """Expected performance on new patients, if groups were held out in turn."""
        return self.root / "new-patients.json"

    @property
    def figures(self) -> Path:
        """PNG, SVG and CSV of each figure."""
        return self.root / "figures"

    @property
    def report(self) -> Path:
        """The report page."""
        return self.root / "report.html"

    @property
    def provenance(self) -> Path:
        """Return the information needed to reproduce a run."""
        return self.root / "provenance.json"

    def scores(self, part: str) -> Path:
        """The scores of one part of the data."""
        return self.root / f"scores-{part}.csv"

    @classmethod
    def create(cls, root: Path) -> RunFolder:
        """Return a new run folder.

        Raises:
            OutputError: The folder is not empty, or cannot be written.
        """
        try:
            if root.is_dir() and not any(root.iterdir()):
                return cls(root)
            root.mkdir(parents=True)
        except FileExistsError as fault:
            raise OutputError(
                f"{root} exists already; choose another `out`, or continue that run with `resume`."
            ) from fault
        except OSError as fault:
            raise OutputError(
                f"{root}: cannot be created ({fault.strerror}); choose another `out`."
            ) from fault
        return cls(root)

    def discard(self) -> None:
        """Remove a folder in which nothing was trained."""
        shutil.rmtree(self.root, ignore_errors=True)


def provenance(**facts: object) -> dict[str, Any]:
    """Versions, seed, data, commit, machine and duration.

    Versions of the packages used, commit of a source checkout, machine and time; ``facts`` are
    added unchanged.
    """
    return {
        **facts,
        "written": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "packages": _versions(),
        "commit": _commit(),
        "machine": {
            "system": platform.platform(),
            "processor": platform.machine(),
            "cores": cores(),
        },
    }


def rows_of(path: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV file written by this package.

    Raises:
        OSError: The file cannot be read.
    """
    with path.open(newline="", encoding="utf-8-sig") as file:  # spreadsheets add a byte order mark
        return list(csv.DictReader(file))


def update_json(path: Path, values: Mapping[str, object]) -> None:
    """Add or replace top-level keys of a JSON file atomically."""
    before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    write_json(path, {**before, **values})


def version() -> str:
    """Return the version of this package, as recorded in provenance."""
    return metadata.version("pneumoscope")


def _versions() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def _commit() -> str | None:
    """Return the commit of this checkout, with ``+`` if modified; None otherwise."""
    here = Path(__file__).resolve().parent
    if not (here.parents[1] / ".git").exists():
        return None
    command = ["git", "-C", str(here), "describe", "--always", "--dirty=+", "--exclude=*"]
    try:
        answer = subprocess.run(  # noqa: S603 - a fixed command, no input
            command, capture_output=True, text=True, timeout=10, check=True, env={**os.environ}
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()
