"""File → pixels → model input. Nothing here imports more than numpy and Pillow."""
