"""Frozen encoders: CLIP towers and frame codecs."""
