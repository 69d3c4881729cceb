"""Find the image files of a table."""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from pneumoscope.data.layouts.folders import is_junk
from pneumoscope.errors import DataError


@dataclass(slots=True)
class Places:
    """Finds images below a folder: by path, by path without leading folders, or by name.

    Attributes:
        root: The folder.
        find: Whether a file name alone is sufficient.
    """

    root: Path
    find: bool = False
    _by_name: dict[str, list[str]] | None = None
    _strip: int = 0

    def place(self, paths: list[str]) -> str | None:
        """Return the first existing path, relative to the root; None if there is none.

        Raises:
            DataError: Several files have the name.
        """
        for path in paths:
            found = self._by_path(path)
            if found is None and "\\" in path:  # written on Windows
                found = self._by_path(path.replace("\\", "/"))
            if found is not None:
                return found
        if self.find:
            for path in paths:
                found = self._by_file_name(path)
                if found is not None:
                    return found
        return None

    def _by_path(self, path: str) -> str | None:
        """Data sets may repeat their folder name in paths, so leading folders may be dropped."""
        parts = Path(path).parts
        if not parts:
            return None
        likely = [self._strip, *(n for n in range(len(parts)) if n != self._strip)]
        for number in likely:
            if number < len(parts) and (number == 0 or not Path(path).is_absolute()):
                shorter = Path(*parts[number:])
                if number == len(parts) - 1 and number > 0:
                    break  # the name alone could refer to any file of the folder
                if (self.root / shorter).is_file():
                    self._strip = number
                    return path if number == 0 else shorter.as_posix()
        return None

    def _by_file_name(self, path: str) -> str | None:
        if self._by_name is None:
            self._by_name = defaultdict(list)
            for folder, below, names in os.walk(self.root, followlinks=True):
                below[:] = sorted(name for name in below if not is_junk(name))
                inside = Path(folder).relative_to(self.root)
                for name in names:
                    if not is_junk(name):
                        self._by_name[name].append((inside / name).as_posix())
        found = self._by_name.get(Path(path).name, [])
        if len(found) > 1:
            raise DataError(
                f"{self.root}: several files are called {Path(path).name}: {', '.join(found[:3])}; "
                "keep one of them."
            )
        return found[0] if found else None
