"""Write generated radiographs as a folder."""

from __future__ import annotations

from pathlib import Path

from pneumoscope.data.generated import mark_generated
from pneumoscope.data.phantom import write_folder
from pneumoscope.runs import RunFolder
from pneumoscope.watch import Watcher


def generate_images(
    out: Path, *, patients: int, seed: int = 0, watcher: Watcher | None = None
) -> Path:
    """Write generated radiographs into ``out/images`` with parts and class folders.

    Args:
        out: A folder that does not exist or is empty.
        patients: Number of patients.
        seed: Seed of the generator.
        watcher: Receives progress reports.

    Raises:
        OutputError: ``out`` is not empty, or cannot be written.
    """
    folder = RunFolder.create(out)
    try:
        return fill(out, patients=patients, seed=seed, watcher=watcher or Watcher())
    except BaseException:
        folder.discard()
        raise


def fill(out: Path, *, patients: int, seed: int, watcher: Watcher) -> Path:
    """Write generated radiographs into an existing folder."""
    images = out / "images"
    mark_generated(out)
    with watcher.progress("Generating radiographs") as progress:
        write_folder(images, patients=patients, seed=seed, progress=progress)
    watcher.say(f"Generated radiographs of {patients} patients in {images}")
    return images
