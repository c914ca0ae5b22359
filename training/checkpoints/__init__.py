"""Checkpoints of a running training."""
