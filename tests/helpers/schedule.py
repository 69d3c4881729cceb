"""The selection of tests, and their distribution to the processes of pytest-xdist.

The tests of a file run in one process, since they share its fixtures; only those of a few files,
which take long and share little, are distributed individually. The longest start first, so that no
process has to wait for them at the end.
"""

from __future__ import annotations

from typing import Any

import pytest
from xdist.scheduler.loadscope import LoadScopeScheduling

ONE_BY_ONE = ("tests/training/test_fit.py", "tests/workflow/test_vary.py")
"""Files whose tests may run in different processes."""

LONGEST_FIRST = (
    "tests/training/test_fit.py",
    "tests/hospital/test_node.py",
    "tests/test_documents.py",
    "tests/training/test_processes.py",
    "tests/cluster/test_ray.py",
    "tests/hospital/test_delivery.py",
    "tests/models/test_network.py",
    "tests/hospital/test_report_templates.py",
    "tests/serve/test_service_page.py",
    "tests/hospital/test_peers.py",
    "tests/workflow/test_seeds.py",
    "tests/test_privacy.py",
    "tests/serve/test_service_faults.py",
    "tests/training/test_transfer.py",
    "tests/workflow/test_three_classes.py",
    "tests/study/test_search.py",
    "tests/study/test_study_runs.py",
    "tests/workflow/test_vary.py",
    "tests/hospital/test_orthanc.py",
    "tests/images/test_hostile.py",
    "tests/hospital/test_objects.py",
    "tests/tracking/test_trackers.py",
    "tests/data/audit/test_audit_duplicates.py",
    "tests/study/test_study_how_to.py",
    "tests/cli/test_demo.py",
    "tests/cli/test_commands.py",
    "tests/cli/test_what_if.py",
    "tests/models/test_class_activation.py",
    "tests/test_lightness.py",
    "tests/cluster/test_cluster_run.py",
    "tests/serve/test_service_load.py",
    "tests/cli/test_ending.py",
    "tests/workflow/test_export_runs.py",
    "tests/study/test_storage_postgres.py",
    "tests/cli/test_inspect.py",
    "tests/cli/test_public_data.py",
    "tests/data/test_public_sets.py",
    "tests/test_export.py",
    "tests/hospital/test_reading.py",
    "tests/cluster/test_s3.py",
    "tests/images/test_formats.py",
)
"""Files that take more than ten seconds, with those that wait for services between those that
compute; the others follow in order."""


LEFT_OUT = (
    "cluster",
    "fuzz",
    "hospital",
    "models",
    "report",
    "serve",
    "study",
    "tracking",
    "training",
    "workflow",
    "cli/test_commands.py",
    "cli/test_demo.py",
    "cli/test_ending.py",
    "cli/test_faults.py",
    "cli/test_inspect.py",
    "cli/test_models.py",
    "cli/test_predict_hostile.py",
    "cli/test_public_data.py",
    "cli/test_weights.py",
    "cli/test_what_if.py",
    "data/audit/test_audit_duplicates.py",
    "data/test_lookalikes.py",
    "data/test_public_sets.py",
    "evaluation/test_results.py",
    "images/test_dicom_variants.py",
    "images/test_formats.py",
    "images/test_hostile.py",
    "reader/test_arrivals.py",
    "reader/test_shipped.py",
    "test_benchmarks.py",
    "test_documents.py",
    "test_export.py",
    "test_lightness.py",
    "test_privacy.py",
    "test_site.py",
)
"""Folders and files of ``tests/`` that ``--fast`` omits: they load torch, start processes or
services, or take long."""

COSTLY = {"trained", "shared"}
"""Fixtures that are not available with ``--fast``: a trained network, and real images."""


TRIED_TWICE = (
    "cli/test_ending.py",
    "cli/test_faults.py",
    "cluster",
    "hospital",
    "reader/test_archive.py",
    "reader/test_arrivals.py",
    "reader/test_continued.py",
    "serve",
    "study",
    "test_documents.py",
    "test_privacy.py",
    "tracking",
    "training/test_fit.py",
    "training/test_processes.py",
    "workflow/test_vary.py",
)
"""Folders and files of ``tests/`` whose tests start services or other processes."""


class ByFile(LoadScopeScheduling):  # type: ignore[misc]
    """Distributes the tests file by file."""

    def __init__(self, config: pytest.Config, log: Any) -> None:
        config.option.loadscopereorder = False  # they are sorted already
        super().__init__(config, log)

    def _split_scope(self, nodeid: str) -> str:
        file = _file(nodeid)
        return nodeid if file in ONE_BY_ONE else file


def longest_first(items: list[pytest.Item]) -> None:
    """Sort tests in the order of their distribution."""
    rank = {file: place for place, file in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: rank.get(_file(item.nodeid), len(rank)))


def starts_processes(path: str) -> bool:
    """Return whether the tests of a file of ``tests/`` start services or other processes."""
    return path in TRIED_TWICE or path.split("/", maxsplit=1)[0] in TRIED_TWICE


def _file(nodeid: str) -> str:
    return nodeid.split("::", maxsplit=1)[0]
