"""A folder of generated radiographs, with the layout and names of the public data set."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

import numpy as np
from PIL import Image

from pneumoscope.data.phantom.radiograph import LABELS, check_size, check_whole_number, render
from pneumoscope.errors import OptionError, OutputError, nearest
from pneumoscope.parallel import Progress, cores

SPLITS: Final[Mapping[str, float]] = MappingProxyType({"train": 0.8, "test": 0.2})

_KNOWN_SPLITS = ("train", "val", "test")
# Of the pneumonias of the public data set, about two in three are bacterial.
_BACTERIAL_SHARE = 0.63
# Probabilities that a patient has one image, two, three or four.
_IMAGES_A_PATIENT = (0.74, 0.16, 0.07, 0.03)
_IDS = 10_000_000
_CHUNK = 8


@dataclass(frozen=True, slots=True)
class _Job:
    """One file to write."""

    path: Path
    label: str
    pathogen: str | None
    patient_seed: int
    image_seed: int
    size_px: tuple[int, int] | None


def write_folder(
    folder: Path,
    *,
    patients: int = 300,
    seed: int = 0,
    size_px: tuple[int, int] | None = None,
    pneumonia_share: float = 0.6,
    splits: Mapping[str, float] = SPLITS,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Path:
    """Return a new folder of generated radiographs, ``folder/<split>/<label>/<name>.jpeg``.

    Names follow the public data set's: ``NORMAL-<patient>-<n>``, ``BACTERIA-<patient>-<n>`` and
    ``VIRUS-<patient>-<n>`` with a 7-digit patient and a 4-digit number. Most patients have one
    image, some up to four. A patient is in one split only, and every split has the same share of
    pneumonias, as closely as possible with whole patients.

    With the same versions of Pillow and numpy, the same arguments write the same bytes, regardless
    of ``workers``. A file can be rendered again from its name: its patient seed is ``seed *
    10_000_000 + patient``, its image seed is its number.

    Processes are spawned, so a script that uses several needs ``if __name__ == "__main__":``.

    Args:
        folder: Destination; it may exist, but must be empty.
        patients: Number of patients.
        seed: Seed, 0 or more.
        size_px: (height, width) of every image; None draws native sizes.
        pneumonia_share: Share of patients with pneumonia, 0 to 1.
        splits: Share of the patients by split ("train", "val", "test"); the shares sum to 1.
        workers: Number of processes; None for one per core; 1 starts none.
        progress: Called with (images written, total images) after each image.

    Raises:
        OptionError: An argument has an invalid value.
        OutputError: The folder is not empty or cannot be written to.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as empty:
        ...     made = write_folder(Path(empty), patients=10, size_px=(64, 64), workers=1)
        ...     sorted(str(path.relative_to(made)) for path in made.glob("*/*"))
        ['test/NORMAL', 'test/PNEUMONIA', 'train/NORMAL', 'train/PNEUMONIA']
    """
    folder = Path(folder)
    check_whole_number("patients", patients, at_least=1)
    check_whole_number("seed", seed)
    check_size(size_px)
    if workers is not None:
        check_whole_number("workers", workers, at_least=1)
    if patients >= _IDS:
        raise OptionError("patients", must=f"below {_IDS}, since names have 7 digits", was=patients)
    if not 0.0 <= pneumonia_share <= 1.0:
        raise OptionError("pneumonia_share", must="from 0 to 1", was=pneumonia_share)
    _check_splits(splits)
    jobs = _plan(
        folder,
        patients=patients,
        seed=seed,
        size_px=size_px,
        pneumonia_share=pneumonia_share,
        splits=splits,
    )
    with _as_output_error(folder):
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise OutputError(
                f"{folder} is not an empty folder. Choose a new one, or remove its contents."
            )
        for split in splits:
            for label in LABELS:
                (folder / split / label).mkdir(parents=True, exist_ok=True)
        for done, _ in enumerate(_written(jobs, workers or cores()), start=1):
            if progress is not None:
                progress(done, len(jobs))
    return folder


def _check_splits(splits: Mapping[str, float]) -> None:
    for name, share in splits.items():
        if name not in _KNOWN_SPLITS:
            hint = nearest(str(name), _KNOWN_SPLITS)
            raise OptionError("splits", must="train, val or test", was=name, hint=hint)
        if not 0.0 <= share <= 1.0:
            raise OptionError(f"splits[{name!r}]", must="from 0 to 1", was=share)
    if abs(sum(splits.values()) - 1.0) > 1e-6:
        raise OptionError("splits", must="shares that sum to 1", was=dict(splits))


def _plan(
    folder: Path,
    *,
    patients: int,
    seed: int,
    size_px: tuple[int, int] | None,
    pneumonia_share: float,
    splits: Mapping[str, float],
) -> list[_Job]:
    """Return the files to write; all random choices for the folder as a whole are made here."""
    rng = np.random.default_rng([seed, 4])
    ids = 1 + rng.choice(_IDS - 1, patients, replace=False)
    jobs = []
    ill = round(patients * pneumonia_share)
    for label, members in zip(LABELS, (ids[ill:], ids[:ill]), strict=True):
        cuts = np.round(np.cumsum(list(splits.values())) * len(members)).astype(int)[:-1]
        for split, group in zip(splits, np.split(members, cuts), strict=True):
            for number in group.tolist():
                own = np.random.default_rng([seed, number, 5])
                images = 1 + int(own.choice(4, p=_IMAGES_A_PATIENT))
                is_bacterial = own.random() < _BACTERIAL_SHARE
                pathogen = None if label == "NORMAL" else ("VIRUS", "BACTERIA")[is_bacterial]
                jobs += [
                    _Job(
                        path=folder
                        / split
                        / label
                        / f"{pathogen or label}-{number:07}-{n:04}.jpeg",
                        label=label,
                        pathogen=pathogen,
                        patient_seed=seed * _IDS + number,
                        image_seed=n,
                        size_px=size_px,
                    )
                    for n in range(1, images + 1)
                ]
    return jobs


def _written(jobs: list[_Job], workers: int) -> Iterator[None]:
    """Write the files, yielding once for each."""
    workers = min(workers, -(-len(jobs) // _CHUNK))
    if workers <= 1:
        yield from map(_write, jobs)
        return
    # Not forked: the caller may run threads (a training framework's, say), which forking breaks.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_leave_signals) as pool:
        yield from pool.map(_write, jobs, chunksize=_CHUNK)


def _leave_signals() -> None:
    """Ignore signals: terminals and batch systems send them to the parent process as well.

    If a worker ended first, the pool would break and print a traceback.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def _write(job: _Job) -> None:
    phantom = render(
        job.label,
        patient_seed=job.patient_seed,
        image_seed=job.image_seed,
        size_px=job.size_px,
        pathogen=job.pathogen,
    )
    quality = int(np.random.default_rng([job.patient_seed, job.image_seed, 6]).integers(78, 96))
    Image.fromarray(phantom.pixels).save(job.path, format="JPEG", quality=quality)


@contextmanager
def _as_output_error(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"{folder} cannot be written to: {error}. Choose another folder, or free some space."
        ) from error
