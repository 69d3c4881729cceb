"""Modules that are loaded before the forks of ``helpers.warm``; nothing here may start a thread.

The first export imports modules for seconds, so a network is exported here once.
"""

from contextlib import suppress

import torch._dynamo  # noqa: F401 - the first step of an optimizer loads it

import pneumoscope.cli.train
import pneumoscope.evaluation.evaluation
import pneumoscope.report.run_report
import pneumoscope.training.fit
import pneumoscope.workflow.evaluate
import pneumoscope.workflow.finish
import pneumoscope.workflow.seeds
import pneumoscope.workflow.train
from helpers.exporter import read_operators_once, trace_once
from pneumoscope.export import trace
from pneumoscope.images.prepare import InputSpec
from pneumoscope.models.registry import build_model

with suppress(ModuleNotFoundError):  # extras
    import s3fs  # noqa: F401 - Lightning's first checkpoint loads it
with suppress(ModuleNotFoundError):
    import pneumoscope.images.dicom
with suppress(ModuleNotFoundError):
    from highdicom._standard_utils import does_iod_have_pixel_data

    import pneumoscope.cli.node
    import pneumoscope.hospital.node
    import pneumoscope.hospital.pull

    does_iod_have_pixel_data("1.2.840.10008.5.1.4.1.1.88.34")  # the first report reads its tables
with suppress(ModuleNotFoundError):
    import optuna
    import optuna.importance

    import pneumoscope.cli.study
    import pneumoscope.study.learn
    import pneumoscope.study.search
    import pneumoscope.study.worker  # noqa: F401

    for used in (optuna.storages.RDBStorage, optuna.importance.FanovaImportanceEvaluator):
        assert used  # they are loaded when they are first used

read_operators_once()
trace_once()
trace(build_model("seed-cnn", InputSpec(16, 16), filters=[2]).eval(), InputSpec(16, 16))
