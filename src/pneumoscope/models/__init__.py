"""Networks: PyTorch modules that map prepared pixels to logits."""
