"""The batch of a skipped step, rebuilt from its dump."""

import json
import shutil
from dataclasses import replace

import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from core.errors import AnimaticError
from orchestration.cli import app
from tests.support.coded_clips import build_dataset
from tests.support.guarding import step_result
from training.batch_source import DatasetSource
from training.config import dump_yaml, resolve
from training.guard import Guard
from training.guard.dump import read_dump
from training.guard.rebuild import rebuilt_batch
from training.journal import Journal
from training.processes.group import ProcessGroup
from training.run_folder import RunFolder

STEP, RANK, WORKERS, ROUND = 3, 1, 2, 2


@pytest.fixture(scope="module")
def skipped(tmp_path_factory):
    """The dump of a process of a run on a dataset, and the batch that it trained on."""
    root = tmp_path_factory.mktemp("skipped")
    dataset = build_dataset(root / "data", [40] * 6)
    sets = ("train.global_batch=4", "model.frames=4", "model.height=32", f"data.dataset={dataset.url}")
    config, folder = resolve(0, "tiny", sets), RunFolder(root / "run")
    folder.path.mkdir()
    folder.config.write_text(dump_yaml(config))
    batch = next(DatasetSource(config).batches(RANK, WORKERS, STEP - 1, 4, ROUND))
    guard = Guard(config, folder, ProcessGroup(RANK, 1), Journal(None))
    guard.count(step_result(float("nan"), applied=False, samples=(3.0, float("nan"))), batch, STEP)
    (written,) = folder.guard.iterdir()
    # As one of two processes in a later round would have written it.
    content = json.loads(written.read_text()) | {"world_size": WORKERS, "data_round": ROUND}
    written.write_text(json.dumps(content))
    return written, batch


def test_the_rebuilt_batch_is_the_one_of_the_skipped_step(skipped):
    path, batch = skipped
    rebuilt = rebuilt_batch(path, read_dump(path))
    assert rebuilt.keys == batch.keys and rebuilt.captions == batch.captions
    for name in ("pixels", "fps", "condition_index", "drop_text", "drop_image", "seed"):
        assert torch.equal(getattr(rebuilt, name), getattr(batch, name)), name


@pytest.mark.parametrize("change", [{"data_round": 0}, {"step": STEP + 1}, {"rank": 0}])
def test_every_part_of_the_position_decides_the_batch(skipped, change):
    path, _ = skipped
    with pytest.raises(AnimaticError, match="draws other samples than the dump names: it has changed since"):
        rebuilt_batch(path, read_dump(path).model_copy(update=change))


def test_the_verb_draws_the_samples_with_their_losses(skipped, tmp_path):
    path, batch = skipped
    picture = tmp_path / "samples.png"
    command = ["inspect", "--dump", str(path), "--out", str(picture)]
    printed = CliRunner().invoke(app, command)
    assert printed.exit_code == 0, printed.output
    assert "step 3 was skipped, loss not finite: mean loss nan" in printed.stdout
    assert f"largest nan of {batch.keys[1]}" in " ".join(printed.stdout.split())
    assert Image.open(picture).height > 2 * 32
    as_json = CliRunner().invoke(app, [*command, "--json"])
    dump = json.loads(as_json.stdout)["dump"]
    assert [sample["key"] for sample in dump["samples"]] == batch.keys
    refused = CliRunner().invoke(app, [*command, "--batch"])
    assert refused.exit_code == 1 and "--batch is without effect with --dump" in refused.output


def test_without_the_runs_configuration_the_error_names_it(skipped, tmp_path):
    path, _ = skipped
    folder = tmp_path / "other" / "guard"
    folder.mkdir(parents=True)
    shutil.copy(path, folder)
    with pytest.raises(AnimaticError, match=r"cannot read configuration .*other/config\.yaml"):
        rebuilt_batch(folder / path.name, read_dump(path))


def test_losses_are_drawn(skipped):
    from orchestration.reports.batch_sheet import draw_batch

    batch = replace(skipped[1], captions=["a", "b"])
    assert draw_batch(batch, ["loss 1", "loss 2"]).tobytes() != draw_batch(batch).tobytes()
