"""Networks: pure torch modules that take prepared pixels and give logits."""
