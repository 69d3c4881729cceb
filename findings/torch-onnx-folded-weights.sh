#!/usr/bin/env bash
# torch 2.15.0 with onnx 1.23.2, onnxscript 0.7.2 and onnxruntime 1.32.0; Python 3.11.
# torch.onnx.export (dynamo=True) computes what depends on the weights alone while it exports: of
# weight[1] - weight[0], the graph has the result as a constant of its own, beside the weight under its
# name. If other values are written into the initializer of that name, some outputs follow and others
# stay those of the old weights, without an error. With optimize=False, or with the weight as an input
# of the exported module, nothing is computed.
# Seen output:
#   exported: initializers layer.bias [2], layer.weight [2, 3], sub [3]
#   after writing another layer.weight: logits follow, contrast stays
#   exported with optimize=False: logits follow, contrast follows
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/python" -m pip install --quiet --disable-pip-version-check uv
"$place/venv/bin/uv" pip install --quiet --python "$place/venv/bin/python" \
    torch==2.15.0 onnx==1.23.2 onnxscript==0.7.2 onnxruntime==1.32.0 numpy==2.4.6
ORT_DISABLE_TELEMETRY=1 "$place/venv/bin/python" - 2> "$place/errors" <<'PYTHON'
import contextlib
import io

import numpy as np
import onnx
import onnxruntime
import torch
from torch import nn


class Reader(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 2)

    def forward(self, x):
        return self.layer(x), x * (self.layer.weight[1] - self.layer.weight[0])


def exported(model, **options):
    with contextlib.redirect_stdout(io.StringIO()):
        program = torch.onnx.export(
            model, (torch.zeros(1, 3),), dynamo=True, input_names=["x"],
            output_names=["logits", "contrast"], **options,
        )
    return program.model_proto


def follows(proto, model):
    """Return for each output whether it is that of the module after its weight was replaced."""
    for tensor in proto.graph.initializer:
        if tensor.name == "layer.weight":
            tensor.CopyFrom(onnx.numpy_helper.from_array(model.layer.weight.detach().numpy(), tensor.name))
    x = np.ones((1, 3), np.float32)
    found = onnxruntime.InferenceSession(proto.SerializeToString()).run(None, {"x": x})
    with torch.no_grad():
        expected = model(torch.from_numpy(x))
    return [bool(np.allclose(a, b.numpy(), atol=1e-6)) for a, b in zip(found, expected)]


def words(found):
    return ", ".join(
        f"{name} {'follow' if name == 'logits' else 'follows'}" if own else f"{name} stays"
        for name, own in zip(("logits", "contrast"), found)
    )


torch.manual_seed(0)
model = Reader().eval()
proto, plain = exported(model), exported(model, optimize=False)
own = sorted(f"{tensor.name} {list(tensor.dims)}" for tensor in proto.graph.initializer)
print(f"exported: initializers {', '.join(own)}")
with torch.no_grad():
    model.layer.weight.copy_(torch.randn(2, 3))
optimized, unchanged = follows(proto, model), follows(plain, model)
print(f"after writing another layer.weight: {words(optimized)}")
print(f"exported with optimize=False: {words(unchanged)}")
assert optimized == [True, False]
assert unchanged == [True, True]
PYTHON
