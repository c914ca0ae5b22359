"""Copies of a run in a folder elsewhere, usually of an object store, that other machines continue from."""
