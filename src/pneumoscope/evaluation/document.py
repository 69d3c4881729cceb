"""Everything that was found of a reader on one set of images, as ``metrics.json`` holds it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pneumoscope.evaluation.assess import Assessment
    from pneumoscope.evaluation.baseline import Baseline
    from pneumoscope.evaluation.robustness import Corrupted
    from pneumoscope.evaluation.subgroups import Group


def as_json(
    assessment: Assessment,
    *,
    groups: Sequence[Group] = (),
    baselines: Sequence[Baseline] = (),
    corrupted: Sequence[Corrupted] = (),
) -> dict[str, Any]:
    """Return everything as JSON values; ``docs/reference/files.md`` explains them."""
    found: dict[str, Any] = {
        **assessment.to_dict(),
        "groups": [group.to_dict() for group in groups],
        "baselines": [baseline.to_dict() for baseline in baselines],
    }
    if corrupted:
        found["robustness"] = [row.to_dict() for row in corrupted]
    return found
