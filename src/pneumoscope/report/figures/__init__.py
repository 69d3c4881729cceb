"""Figures: functions that return a `Drawing`.

A `pneumoscope.report.figures.drawing.Drawing` holds the data of the figure as a table, a sentence
for those who cannot see it, how to read it, and how to draw it; so the numbers can be tested and
are written beside the picture. `pneumoscope.report.plotting` and
`pneumoscope.report.figures.forest` have what figures are built of; ``pyplot`` keeps state, and is
not used.
"""
