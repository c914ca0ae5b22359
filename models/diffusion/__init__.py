"""Noise schedules, sampling and guidance."""
