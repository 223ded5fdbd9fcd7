"""Training: the small starting model, supervised fine-tuning, checkpoints.

This package and `engine/serve` are the only two that import torch; jobs import them lazily.
"""
