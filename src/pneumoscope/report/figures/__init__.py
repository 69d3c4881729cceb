"""Figures: each holds its data and draws it on request.

Computing and drawing are apart (the manner of scikit-learn's ``RocCurveDisplay``), so that the
numbers can be tested, written beside the figure and drawn again. A figure is a frozen dataclass
that holds a value of `pneumoscope.evaluation`, or columns, and has

- ``draw()``, which returns a `matplotlib.figure.Figure` (``pyplot`` keeps state, and is not used),
- ``rows()``, a header and rows of text: the table that goes beside the figure,
- ``summary()``, one sentence for those who cannot see it,
- ``CAPTION``, which says how to read it.

`pneumoscope.report.axes` has what they are built of.
"""
