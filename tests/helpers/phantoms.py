"""Generated radiographs that several tests of one run use."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from helpers.once import shared_folder
from pneumoscope.data.phantom import folder, write_folder


def written_once(factory: pytest.TempPathFactory, place: Path, **options: Any) -> Path:
    """Write a folder as ``write_folder`` does, with files that other tests have written before.

    Drawing an image takes 15 ms, even if it is small.
    """
    cache = shared_folder(factory) / "phantoms"
    cache.mkdir(exist_ok=True)
    write = folder._write

    def kept(job: folder._Job) -> None:
        own = (job.label, job.pathogen, job.patient_seed, job.image_seed, job.size_px)
        file = cache / "-".join(map(str, own))
        if not file.exists():
            temporary = file.with_name(f"{file.name}.{os.getpid()}")
            write(replace(job, path=temporary))
            temporary.replace(file)
        shutil.copyfile(file, job.path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(folder, "_write", kept)
        return write_folder(place, workers=1, **options)
