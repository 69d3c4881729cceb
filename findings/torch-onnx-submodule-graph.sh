#!/usr/bin/env bash
# torch 2.15.0 with onnx 1.23.2 and onnxscript 0.7.2; Python 3.11.
# torch.onnx.export (dynamo=True) fails for a module with a child of the name "graph": its weights are
# looked up on the GraphModule, where "graph" is the graph itself. Any other name works, and
# torch.export.export alone accepts both.
# Seen output:
#   child named reader: 2 weights in the graph
#   child named graph: torch.export accepts it, torch.onnx.export raises ConversionError
#   Node graph_0_weight target graph.0.weight references nonexistent attribute 0 of graph
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/python" -m pip install --quiet --disable-pip-version-check uv
"$place/venv/bin/uv" pip install --quiet --python "$place/venv/bin/python" \
    torch==2.15.0 onnx==1.23.2 onnxscript==0.7.2 numpy==2.4.6
"$place/venv/bin/python" - 2> "$place/errors" <<'PYTHON'
import contextlib
import io

import torch
from torch import nn


class Named(nn.Module):
    def __init__(self, name):
        super().__init__()
        self.name = name
        self.add_module(name, nn.Sequential(nn.Linear(3, 2)))

    def forward(self, x):
        return self.get_submodule(self.name)(x)


def exported(name):
    with contextlib.redirect_stdout(io.StringIO()):
        return torch.onnx.export(Named(name).eval(), (torch.zeros(1, 3),), dynamo=True)


weights = exported("reader").model_proto.graph.initializer
print(f"child named reader: {len(weights)} weights in the graph")
assert len(weights) == 2, weights
torch.export.export(Named("graph").eval(), (torch.zeros(1, 3),))
try:
    exported("graph")
except torch.onnx.errors.OnnxExporterError as error:
    fault = error
else:
    raise SystemExit("changed: torch.onnx.export accepts the name")
print(f"child named graph: torch.export accepts it, torch.onnx.export raises {type(fault).__name__}")
cause = str(fault.__cause__)
print(cause)
assert "references nonexistent attribute" in cause
PYTHON
