#!/usr/bin/env bash
# pyarrow 26.0.1, with and without pandas 3.1.1; Python 3.11.
# Where pandas is installed, pyarrow imports it for pyarrow.array and Table.from_pylist, also if all values
# are Python's own: it asks pandas whether they are a Series. The first conversion of each process then
# takes most of a second (times are not checked). Array.from_buffers imports nothing.
# Seen output:
#   without pandas: from_buffers loads 0 modules of pandas, from_pylist 0
#   with pandas: from_buffers loads 0 modules of pandas, from_pylist hundreds
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
pip() { "$place/venv/bin/python" -m pip install --quiet --disable-pip-version-check "$@"; }
seen() {
    "$place/venv/bin/python" - "$1" <<'PYTHON'
import sys

import numpy as np
import pyarrow
from pyarrow import parquet  # noqa: F401


def loaded():
    return sum(name == "pandas" or name.startswith("pandas.") for name in sys.modules)


buffer = pyarrow.py_buffer(np.array([1.0, 2.0]))
numbers = pyarrow.Array.from_buffers(pyarrow.float64(), 2, [None, buffer])
one = loaded()
schema = pyarrow.schema([("a", pyarrow.float64())])
table = pyarrow.Table.from_pylist([{"a": 1.0}, {"a": 2.0}], schema=schema)
two = loaded()
assert table.equals(pyarrow.Table.from_arrays([numbers], schema=schema))
many = "hundreds" if two >= 200 else two
print(f"{sys.argv[1]}: from_buffers loads {one} modules of pandas, from_pylist {many}")
assert one == 0
assert (two >= 200) if sys.argv[1] == "with pandas" else (two == 0)
PYTHON
}
pip pyarrow==26.0.1 numpy==2.4.6
seen "without pandas"
pip pandas==3.1.1
seen "with pandas"
