"""What the forks of ``helpers.warm`` have loaded; nothing here may start a thread."""

from contextlib import suppress

from torch.onnx._internal.exporter import _registration

import pneumoscope.cli.train
import pneumoscope.export
import pneumoscope.report.run_report
import pneumoscope.training.fit
import pneumoscope.workflow.evaluate
import pneumoscope.workflow.seeds
import pneumoscope.workflow.train
from helpers.exporter import read_operators_once

with suppress(ModuleNotFoundError):  # extras
    import pneumoscope.cli.node
    import pneumoscope.hospital.node
    import pneumoscope.hospital.pull
with suppress(ModuleNotFoundError):
    import optuna

    import pneumoscope.cli.study
    import pneumoscope.study.learn
    import pneumoscope.study.search
    import pneumoscope.study.worker  # noqa: F401

    optuna.storages.RDBStorage  # noqa: B018 - it is loaded when it is first used

read_operators_once()
_registration.ONNXRegistry.from_torchlib()
