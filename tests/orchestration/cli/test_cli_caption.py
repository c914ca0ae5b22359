"""The verb that writes captions."""

import json
from pathlib import Path

from pipelines.dataset import Dataset
from pipelines.dataset.columns import read_column
from tests.support.captioners import write_blip
from tests.support.coded_clips import build_dataset
from tests.support.command import fails, run


def test_clips_are_captioned_once(tmp_path: Path) -> None:
    data, model = tmp_path / "data", write_blip(tmp_path / "tiny")
    build_dataset(data, [6, 6], captions=[["a"], [""]])
    command = ["caption", data, "--model", model, "--workers", 0, "--max-new-tokens", 3, "--only-missing"]
    done = run(*command)
    assert done.exit_code == 0, done.output
    assert "2 samples: 1 captioned, 1 left out with a caption in the table" in done.stdout
    assert "--set data.captions.sources=[caption_tiny,table]" in done.stdout
    again = json.loads(run(*command, "--json").stdout)
    assert again["report"] | {"seconds": 0} == {
        "column": "caption_tiny",
        "samples": 2,
        "captioned": 1,
        "unreadable": 0,
        "empty": 0,
        "kept": 1,
        "seconds": 0,
        "skipped_units": 1,
        "made_units": 0,
    }
    captions = read_column(Dataset.open(data), "caption_tiny").values.to_pylist()
    assert captions[0] is None
    assert len(captions[1].split()) == 3


def test_what_cannot_be_captioned_is_an_error_of_one_line(tmp_path: Path) -> None:
    build_dataset(tmp_path / "data", [6])
    model = write_blip(tmp_path / "tiny")
    command = ["caption", tmp_path / "data", "--workers", 0, "--model"]
    fails("has no config.json", *command, tmp_path / "data")
    fails("takes 1 frames of a clip, not 2", *command, model, "--frames", 2)
    fails("cannot name a column of captions", *command, model, "--name", "A b")
    fails("is a URL, but this is read from a local path", *command, "s3://models/blip")
