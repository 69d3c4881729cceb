"""What the forks of ``helpers.warm`` have loaded; nothing here may start a thread."""

from torch.onnx._internal.exporter import _registration

import pneumoscope.cli.train
import pneumoscope.export
import pneumoscope.report.run_report
import pneumoscope.training.fit
import pneumoscope.workflow.evaluate
import pneumoscope.workflow.seeds
import pneumoscope.workflow.train  # noqa: F401
from helpers.exporter import read_operators_once

read_operators_once()
_registration.ONNXRegistry.from_torchlib()
