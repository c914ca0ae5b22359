"""What makes tests quick and changes nothing that they prove."""

import functools
import os

import pytest
import typer.main


def skip_syncs() -> None:
    """Have ``os.fsync`` check its descriptor alone: what tests write need not survive the machine's crash.

    A killed process loses nothing that it wrote. Tests of durability put a record of the calls here.
    """
    _patch.setattr(os, "fsync", _checked)


def build_commands_once() -> None:
    """Have typer keep the command that it builds of an app: building it takes longer than most calls."""
    kept = functools.cache(typer.main.get_command)
    _patch.setattr("typer.main.get_command", kept)
    _patch.setattr("typer.testing._get_command", kept)


def _checked(descriptor: int) -> None:
    os.fstat(descriptor)


_patch = pytest.MonkeyPatch()  # never undone: for all of the process
