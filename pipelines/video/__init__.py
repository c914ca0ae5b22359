"""Untrusted video files → clips and frames.

Raw files are opened only by ``child``, a process that may die; ``normaliser`` owns it. ``frames`` reads what
it made.
"""
