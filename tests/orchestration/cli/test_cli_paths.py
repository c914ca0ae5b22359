"""Paths that a verb cannot write to are errors of one line, whatever the verb."""

import errno
import os

import pytest

from orchestration.cli.common import CommandGroup
from tests.support.command import fails

WRITING = [
    ["animate", "picture.png", "a cat"],
    ["evaluate", "held-out"],
    ["inspect", "data"],
    ["import-checkpoint", "file.ckpt"],
    ["export-checkpoint", "bundle", "--as", "dynamicrafter"],
    ["demo"],
]


@pytest.mark.parametrize("url", ["s3://bucket/run", "file:///tmp/run", "https://ann:secret@host/run"])
@pytest.mark.parametrize("verb", WRITING, ids=lambda verb: verb[0])
def test_a_url_where_results_are_local(tmp_path, monkeypatch, verb, url):
    monkeypatch.chdir(tmp_path)
    displayed = url.replace("ann:secret@", "")
    fails(f"{displayed} is a URL, but this is written to a local path: name one", *verb, "--out", url)
    assert not list(tmp_path.iterdir())


def test_a_url_of_a_run_may_hold_no_password_and_must_be_of_a_store(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    verb = ("train", "--stage", "0", "--preset", "tiny", "--data", "data", "--out")
    fails("upload.url", *verb, "https://ann:secret@host/run")
    assert not list(tmp_path.iterdir())


def test_a_url_as_the_folder_of_all_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ANIMATIC_RUNS", "s3://bucket/runs")
    fails("ANIMATIC_RUNS=s3://bucket/runs is a URL, but runs are written to a local folder", "registry")
    assert not list(tmp_path.iterdir())


def test_what_a_disk_refuses_is_one_line_in_every_verb(monkeypatch):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "runs/ledger\n.jsonl")

    monkeypatch.setattr(CommandGroup.__mro__[1], "invoke", full)
    fails("runs/ledger .jsonl: No space left on device; free space on its disk, then rerun", "registry")
