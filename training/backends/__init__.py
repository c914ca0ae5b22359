"""Sharded execution of a training step: DeepSpeed, averaged weights."""
