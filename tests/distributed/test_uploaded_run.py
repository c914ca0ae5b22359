"""A run with a folder in a store: what is there at its end, and what another machine makes of it."""

import signal

from models.bundle import open_bundle
from tests.support.training_jobs import run_stage, small_config, write_config
from training.journal import read_journal
from training.upload.folder import RemoteFolder
from training.upload.parts import read_parts


def test_a_run_is_in_the_store_at_its_end_and_finished_for_another_machine(pair, tmp_path):
    url = (tmp_path / "store").as_uri()
    config = small_config(0, f"upload.url={url}", "train.steps=2", "validation.every=2")
    path = write_config(config, tmp_path / "config.yaml")
    [first, _] = pair.run(run_stage, path, str(tmp_path / "one"))

    remote, run = RemoteFolder(url, patience_s=0), tmp_path / "one"
    assert read_parts(remote, "journal.jsonl") == (run / "journal.jsonl").read_bytes()
    assert read_journal(run / "journal.jsonl")[-1].event == "end"
    assert {"config.yaml", "environment.json", "samples/step-00000002-0.mp4"} <= remote.list().keys()
    assert open_bundle(tmp_path / "store" / "bundle", verify=True).id == first["id"]

    [again, _] = pair.run(run_stage, path, str(tmp_path / "two"))
    assert again["id"] == first["id"] and again["losses"] == {}
    assert (tmp_path / "two" / "journal.jsonl").read_bytes() == (run / "journal.jsonl").read_bytes()


def test_another_machine_continues_a_run_that_was_stopped_by_a_warning(pair, tmp_path):
    sets = ("train.steps=3", "train.ema_decay=0.9")
    url = (tmp_path / "store").as_uri()
    path = write_config(small_config(0, *sets, f"upload.url={url}"), tmp_path / "config.yaml")
    warned = {"signal_after": (1, 1, signal.SIGUSR1, 1)}
    [stopped, _] = pair.run(run_stage, path, str(tmp_path / "one"), warned)
    assert stopped["exit_code"] == 75 and list(stopped["losses"]) == [1]

    [continued, _] = pair.run(run_stage, path, str(tmp_path / "two"))
    [undisturbed, _] = pair.run(
        run_stage, write_config(small_config(0, *sets), tmp_path / "alone.yaml"), str(tmp_path / "alone")
    )
    assert continued["resumed_from"] == 2
    assert continued["losses"] == {3: undisturbed["losses"][3]}
    assert continued["id"] == undisturbed["id"]
    events = [entry.event for entry in read_journal(tmp_path / "two" / "journal.jsonl")]
    assert events.count("start") == 2 and events.count("stop") == events.count("resume") == 1
