"""Train networks from recipes, with Lightning."""

from pneumoscope.caches import keep_matplotlib_here

keep_matplotlib_here()  # Lightning imports torchmetrics, and that imports matplotlib
