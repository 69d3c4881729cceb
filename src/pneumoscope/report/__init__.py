"""Reports: figures that hold their data, and self-contained pages.

Importing this package loads neither matplotlib nor jinja2; drawing and rendering do.
"""

from pneumoscope.caches import keep_matplotlib_here
from pneumoscope.report.figures.compare import differences, seed_dots, seed_losses
from pneumoscope.report.figures.curves import net_benefit, precision_recall, reliability_diagram
from pneumoscope.report.figures.drawing import Drawing
from pneumoscope.report.figures.groups import robustness_curves, subgroup_forest
from pneumoscope.report.figures.outcome import confusion_matrix, score_distributions
from pneumoscope.report.figures.pictures import augmentation_sheet, case_sheet
from pneumoscope.report.figures.roc import roc_curve, roc_curves
from pneumoscope.report.figures.training import class_counts, learning_curves
from pneumoscope.report.page import Panel, Report, Section, Statement, render, write_report
from pneumoscope.report.style import save

keep_matplotlib_here()

__all__ = [
    "Drawing",
    "Panel",
    "Report",
    "Section",
    "Statement",
    "augmentation_sheet",
    "case_sheet",
    "class_counts",
    "confusion_matrix",
    "differences",
    "learning_curves",
    "net_benefit",
    "precision_recall",
    "reliability_diagram",
    "render",
    "robustness_curves",
    "roc_curve",
    "roc_curves",
    "save",
    "score_distributions",
    "seed_dots",
    "seed_losses",
    "subgroup_forest",
    "write_report",
]
