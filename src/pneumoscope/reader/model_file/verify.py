"""Verify the checksum and the self-test of a model file."""

from __future__ import annotations

import dataclasses
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pneumoscope.reader.model_file.bundle import open_bundle
from pneumoscope.reader.model_file.checksum import state_of, with_info
from pneumoscope.reader.model_file.inspection import inspect
from pneumoscope.reader.model_file.self_test import IMAGE, SelfTest, say
from pneumoscope.reader.model_file.session import find_model, read_model


@dataclass(frozen=True, slots=True)
class Verified:
    """The result of verifying a model file.

    Attributes:
        path: The file.
        name: Name of the network.
        seal: ``intact``, ``broken`` or ``none``.
        expected: Expected output for the generated image; None if the file has no self-test.
        found: The actual output.
    """

    path: str
    name: str
    seal: str
    expected: SelfTest | None
    found: SelfTest

    @property
    def answers(self) -> bool | None:
        """Whether the self-test passes; None if the file has none."""
        return None if self.expected is None else self.expected.passed(self.found)

    @property
    def passed(self) -> bool:
        """Whether no check failed."""
        return self.seal != "broken" and self.answers is not False

    def to_dict(self) -> dict[str, Any]:
        """Return the fields and the verdict as JSON values."""
        return {**asdict(self), "passed": self.passed}

    def lines(self) -> list[str]:
        """Return the result as text lines."""
        rows = [("model", f"{self.name} ({self.path})"), ("image", f"{IMAGE} (generated)")]
        if self.expected is None:
            rows.append(("expected", "unknown: this file has no self-test"))
        else:
            rows.append(("expected", _shown(self.expected)))
        rows.append(("found", _shown(self.found)))
        rows.append(("seal", _SEALS[self.seal]))
        rows.append(("", "passed" if self.passed else "FAILED; download or copy the file again"))
        return [f"{name:<9} {text}".rstrip() if name else text for name, text in rows]


_SEALS = {
    "intact": "intact: the file is unchanged",
    "broken": "broken: the file was changed after it was written",
    "none": "none: written by a version without checksums",
}


def verify(place: Path | str | None) -> Verified:
    """Verify a model file.

    Args:
        place: A model file or a run folder; ``shipped`` or None for the included reader.

    Raises:
        ModelFileError: There is no model, or it cannot be opened.
    """
    path = find_model(place)
    content = read_model(path)
    seal = state_of(content, inspect(content, path), path)
    bundle = open_bundle(path, allow_changed=True)
    return Verified(
        str(path),
        bundle.info.name,
        seal,
        bundle.info.self_test,
        say(bundle),
    )


def finish(path: Path) -> None:
    """Complete a model file in place: record its self-test and set its checksum.

    Raises:
        ModelFileError: The file cannot be opened.
    """
    bundle = open_bundle(path, allow_changed=True)
    info = dataclasses.replace(bundle.info, self_test=say(bundle))
    path.write_bytes(with_info(read_model(path), info, path=path))


def _shown(expected: SelfTest) -> str:
    return f"probability {expected.probability:.6f}, logit {expected.logit:+.6f}"
