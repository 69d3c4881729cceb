"""Intervals, areas under ROC curves and logistic regression, with numpy only."""
