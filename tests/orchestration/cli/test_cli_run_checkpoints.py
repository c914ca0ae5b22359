"""animatic checkpoint: what a run has, whether it is intact, and the errors around exporting it."""

import json
from pathlib import Path

import pytest

from tests.support.checkpoint_states import SHARD, Number, open_store
from tests.support.command import fails
from tests.support.command import run as animatic
from training.checkpoints import state_of
from training.config import dump_yaml, resolve
from training.upload.checkpoints import RemoteCheckpoints
from training.upload.folder import RemoteFolder


@pytest.fixture
def run(here: Path) -> Path:
    """A run folder with checkpoints of steps 2, 4 and 6."""
    folder = here / "run"
    store = open_store(folder / "checkpoints", keep=3)
    for step in (2, 4, 6):
        store.save(step, state_of([Number(step)]))
    sets = ("train.keep_checkpoints=1", "train.keep_every=4", "train.steps=10")
    (folder / "config.yaml").write_text(dump_yaml(resolve(0, "tiny", list(sets))))
    return folder


def listed(*arguments: str) -> list[dict]:
    return json.loads(animatic("checkpoint", *arguments, "--json").stdout)["checkpoints"]


def test_checkpoints_are_listed_with_the_reason_for_keeping_them(run: Path) -> None:
    found = listed("list", str(run))
    assert [(each["step"], each["kept"], each["damage"]) for each in found] == [
        (2, None, None),
        (4, "every 4", None),
        (6, "newest 1", None),
    ]
    last = found[-1]
    assert (last["format"], last["workers"], last["zero_stage"], last["precision"]) == (2, 1, 2, "fp32")
    assert last["path"].endswith("step-00000006") and last["time"].startswith("20")
    assert last["bytes"] == (run / "checkpoints" / "step-00000006" / SHARD).stat().st_size
    printed = animatic("checkpoint", "list", str(run), "--step", "6").stdout.splitlines()
    assert len(printed) == 2 and "1 worker, ZeRO 2, fp32" in printed[1] and "complete" in printed[1]


def test_verify_finds_what_list_does_not_and_names_the_file(run: Path) -> None:
    assert animatic("checkpoint", "verify", str(run)).exit_code == 0
    damaged = run / "checkpoints" / "step-00000004"
    content = bytearray((damaged / SHARD).read_bytes())
    content[-1] ^= 1
    (damaged / SHARD).write_bytes(content)
    assert all(each["damage"] is None for each in listed("list", str(run)))
    verified = animatic("checkpoint", "verify", str(run))
    assert verified.exit_code == 1
    assert f"1 of 3 checkpoints are damaged: {damaged}: {SHARD} does not match" in verified.stderr
    assert animatic("checkpoint", "verify", str(damaged)).exit_code == 1
    assert animatic("checkpoint", "verify", str(damaged.with_name("step-00000006"))).exit_code == 0


def test_a_checkpoint_of_a_later_format_does_not_keep_the_others_from_being_listed(run: Path) -> None:
    manifest = run / "checkpoints" / "step-00000004" / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"format": 9}))
    assert [each["step"] for each in listed("list", str(run))] == [2, 4, 6]
    damage = listed("list", str(run))[1]["damage"]
    assert damage is not None and "has format 9" in damage


def test_a_checkpoint_without_a_manifest_is_listed_as_damaged(run: Path) -> None:
    (run / "checkpoints" / "step-00000006" / "manifest.json").write_text("{")
    (*_, last) = listed("list", str(run))
    assert last["step"] == 6 and "manifest.json is unreadable" in last["damage"] and last["kept"] is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["list", "nothing"], "nothing is neither a run folder nor a checkpoint: it has no config.yaml"),
        (["list", "run", "--step", "3"], "has no checkpoint of step 3; it has those of: 2, 4, 6"),
        (["list", "run", "--raw"], "--raw is without effect with list"),
        (["verify", "run", "--out", "bundle"], "--out is without effect with verify"),
        (["export", "run", "--raw", "--ema"], "--ema and --raw exclude each other"),
        (["export", "run", "--out", "run"], "run exists: choose another folder"),
        (["export", "run"], "config.yaml is not the configuration that"),
    ],
)
def test_what_cannot_be_done_is_one_line(run: Path, arguments: list[str], message: str) -> None:
    fails(message, "checkpoint", *arguments)


def test_checkpoints_in_the_store_are_listed_and_verified_too(run: Path, tmp_path: Path) -> None:
    store = (tmp_path / "store").as_uri()
    sets = (f"upload.url={store}", "upload.keep_checkpoints=1", "train.steps=10")
    (run / "config.yaml").write_text(dump_yaml(resolve(0, "tiny", list(sets))))
    remote = RemoteCheckpoints(RemoteFolder(store, 1.0))
    names = [remote.upload(run / "checkpoints" / f"step-0000000{step}", lambda: None) for step in (4, 6)]
    found = listed("list", str(run))
    assert [(each["step"], each["remote"], each["kept"]) for each in found] == [
        (2, False, None),
        (4, False, "newest 2"),
        (6, False, "newest 2"),
        (4, True, None),
        (6, True, "newest 1"),
    ]
    assert found[-1]["path"] == f"{store}/{names[1]}" and found[-1]["damage"] is None
    assert animatic("checkpoint", "verify", str(run), "--step", "6").exit_code == 0
    shard = tmp_path / "store" / names[1] / SHARD
    shard.write_bytes(shard.read_bytes()[:-1] + b"!")
    fails(
        f"1 of 2 checkpoints are damaged: {store}/{names[1]}: {SHARD} does not",
        "checkpoint",
        "verify",
        run,
        "--step=6",
    )


def test_without_a_complete_checkpoint_there_is_nothing_to_export(run: Path) -> None:
    for shard in run.rglob(SHARD):
        shard.unlink()
    fails("has no complete checkpoint: `animatic checkpoint list", "checkpoint", "export", run)
