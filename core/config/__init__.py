"""Layered configuration of pydantic models: files, assignments, keys and their nearest names."""
