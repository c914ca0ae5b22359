"""Batch jobs over data: each idempotent and resumable, the parallel ones on Ray."""
