"""Intervals, areas under ROC curves and logistic regression: numpy and closed forms alone."""
