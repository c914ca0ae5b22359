"""Skipped steps: what is recorded, when a run goes back or ends, and that a resumed guard decides alike."""

import errno
import math

import pytest

from core.errors import AnimaticError
from tests.support.guarding import GuardedRun, saved_state, step_result
from training.guard import Guard, RollBack
from training.guard import guard as guard_module
from training.guard.dump import read_dump
from training.journal import Journal
from training.processes.group import ProcessGroup
from training.run_folder import RunFolder

WINDOW = ("guard.spike_mad=4", "guard.window=8")
USUAL = (1.0, 1.2, 0.9, 1.1, 1.0, 0.8, 1.05, 0.95)


@pytest.fixture
def make(tmp_path):
    return lambda *sets, name="run": GuardedRun(RunFolder(tmp_path / name), sets)


def test_a_loss_above_the_limit_is_recorded_with_its_samples(make):
    run = make(*WINDOW)
    assert run.steps(*USUAL, 1.3, 9.0) == [True] * 9 + [False]
    (warning,) = run.warnings()
    assert warning.step == 10
    assert warning.content["message"].startswith("step skipped: loss above the limit, 9 > 1.")
    assert warning.content["keys"] == ["clip-0", "clip-1"]
    assert (warning.content["worst"], warning.content["worst_loss"]) == ("clip-1", 2.0)
    (path,) = run.folder.path.glob(warning.content["dumps"])
    dump = read_dump(path)
    assert (dump.step, dump.rank, dump.world_size, dump.data_round) == (10, 0, 1, 0)
    assert (dump.reason, dump.loss, dump.limit) == ("loss above the limit", 9.0, run.guard.limit)
    assert (dump.grad_norm, dump.learning_rate) == (math.inf, 1e-3)
    assert (dump.frames, dump.height, dump.width) == (3, 64, 64)
    for number, sample in enumerate(dump.samples):
        batch = run.batch
        assert (sample.key, sample.caption) == (batch.keys[number], batch.captions[number])
        assert (sample.seed, sample.condition_index) == (batch.seed[number], batch.condition_index[number])
        assert (sample.loss, sample.timestep, sample.fps) == (1.0 + number, number, 8.0)
        assert (sample.drop_text, sample.drop_image) == (batch.drop_text[number], batch.drop_image[number])


def test_skipped_losses_do_not_move_the_limit(make):
    run = make(*WINDOW)
    run.steps(*USUAL)
    limit = run.guard.limit
    run.steps(9.0, 9.0, begin=9)
    assert run.guard.limit == limit


def test_without_deviations_there_is_no_limit(make):
    run = make("guard.window=8")
    assert all(run.steps(*USUAL, 1e9)) and run.guard.limit is None


@pytest.mark.parametrize("loss", [math.nan, math.inf, 1.0])
def test_losses_and_gradients_that_are_not_finite_have_reasons_of_their_own(make, loss):
    run = make()
    run.guard.count(step_result(loss, applied=False, samples=(1.0, loss)), run.batch, 3)
    (warning,) = run.warnings()
    kind = "gradients" if math.isfinite(loss) else "loss"
    assert warning.content["message"] == f"step skipped: {kind} not finite"
    dump = read_dump(next(run.folder.guard.iterdir()))
    assert dump.reason == f"{kind} not finite"
    assert dump.samples[1].loss == pytest.approx(loss, nan_ok=True)


def test_the_worst_sample_is_one_that_is_not_finite(make):
    run = make()
    run.guard.count(step_result(math.nan, applied=False, samples=(math.nan, 1e9)), run.batch, 3)
    assert run.warnings()[0].content["worst"] == "clip-0"


def test_enough_skipped_steps_in_a_row_go_back_to_before_the_first(make):
    run = make(*WINDOW, "guard.rollback_after=3")
    assert run.steps(*USUAL, 9.0, 9.0, 1.0, 9.0, 9.0) == [True] * 8 + [False, False, True, False, False]
    with pytest.raises(RollBack) as raised:
        run.steps(9.0, begin=14)
    assert (raised.value.step, raised.value.before) == (14, 12)
    run.guard.go_on(raised.value)
    assert run.guard.data_round == 1
    # The count begins again.
    assert run.steps(9.0, 9.0, begin=12) == [False, False]


def test_after_the_last_rollback_the_run_ends(make):
    run = make(*WINDOW, "guard.rollback_after=2", "guard.rollbacks=2", "train.max_skipped=2")
    run.steps(*USUAL)
    for number in (1, 2):
        with pytest.raises(RollBack) as raised:
            run.steps(9.0, 9.0, begin=9)
        run.guard.go_on(raised.value)
        assert run.guard.data_round == number
    with pytest.raises(
        AnimaticError,
        match=r"loss was above the guard's limit in 2 steps in a row, up to step 10, after 2 of 2 rollbacks: "
        r"where such a loss is usual .* raise guard\.spike_mad and resume; or lower optimizer\.lr",
    ):
        run.steps(9.0, 9.0, begin=9)


def test_without_rollbacks_too_many_skipped_steps_end_the_run(make):
    run = make(*WINDOW, "train.max_skipped=3")
    run.steps(*USUAL, 9.0)
    run.guard.count(step_result(math.nan, applied=False), run.batch, 10)
    with pytest.raises(
        AnimaticError, match=r"3 steps in a row were skipped, up to step 11, 2 of them for a l"
    ):
        run.steps(9.0, begin=11)


@pytest.mark.parametrize("in_a_row", [False, True])
def test_only_bad_gradients_in_a_row_end_the_run_without_a_checkpoint_to_begin_again(make, in_a_row):
    run = make("train.max_skipped=2")

    def bad(step: int) -> None:
        run.guard.count(step_result(math.nan, applied=False), run.batch, step)

    bad(1)
    if in_a_row:
        with pytest.raises(
            AnimaticError,
            match=r"in 2 steps in a row, up to step 2: .*lengthen optimizer\.warmup_steps, and begin again",
        ):
            bad(2)
    else:
        run.steps(1.0, begin=2)
        bad(3)
        assert [entry.step for entry in run.warnings()] == [1, 3]


def test_a_resumed_guard_decides_alike(make):
    sets = (*WINDOW, "guard.rollback_after=3")
    first = make(*sets, name="first")
    first.steps(*USUAL)
    with pytest.raises(RollBack) as raised:
        first.steps(9.0, 9.0, 9.0, begin=9)
    first.guard.go_on(raised.value)
    first.steps(1.02, 9.0, 9.0, begin=12)
    resumed = make(*sets, name="first")
    resumed.guard.restore(saved_state(first))
    assert resumed.guard.limit == first.guard.limit and resumed.guard.data_round == 1
    for run in (first, resumed):
        with pytest.raises(RollBack) as raised:
            run.steps(9.0, begin=15)
        assert (raised.value.before, raised.value.data_round, raised.value.rollbacks) == (13, 2, 2)


def test_one_process_alone_contributes_the_losses(make, tmp_path):
    run = make(*WINDOW)
    run.steps(*USUAL)
    (piece,) = run.guard.pieces().values()
    assert piece.values.tolist() == pytest.approx(USUAL) and (piece.start, piece.whole) == (0, len(USUAL))
    other = Guard(run.config, run.folder, ProcessGroup(1, 2), Journal(None))
    other.restore(saved_state(run))
    assert other.limit == run.guard.limit and not other.pieces()
    assert other.counters() == run.guard.counters()


def test_a_run_that_continues_another_goes_on_with_its_data_and_has_all_rollbacks(make):
    sets = (*WINDOW, "guard.rollback_after=1", "guard.rollbacks=1", "train.max_skipped=1")
    earlier, run = make(*sets, name="earlier"), make(*sets, name="run")
    earlier.steps(*USUAL)
    with pytest.raises(RollBack) as raised:
        earlier.steps(9.0, begin=9)
    earlier.guard.go_on(raised.value)
    run.guard.restore(saved_state(earlier))
    with pytest.raises(RollBack) as raised:
        run.steps(9.0, begin=9)
    assert raised.value.data_round == 2


def test_a_guard_without_a_limit_reads_the_state_of_one_with_it_and_the_other_way_round(make):
    with_limit, without = make(*WINDOW, name="with"), make(name="without")
    with_limit.steps(*USUAL)
    states = saved_state(with_limit), saved_state(without)
    without.guard.restore(states[0])
    with_limit.guard.restore(states[1])
    assert with_limit.guard.limit is None and without.guard.limit is None


def test_of_the_dumps_the_newest_are_kept(make, monkeypatch):
    monkeypatch.setattr(guard_module, "_MOST_DUMPS", 3)
    run = make("train.max_skipped=9")
    for step in range(7, 13):
        run.guard.count(step_result(math.nan, applied=False), run.batch, step)
    other = run.folder.guard / "step-00000001-rank-00001.json"
    other.touch()
    run.guard.count(step_result(math.nan, applied=False), run.batch, 13)
    names = sorted(path.name for path in run.folder.guard.iterdir())
    assert names == [other.name, *(f"step-{step:08d}-rank-00000.json" for step in (11, 12, 13))]


def test_a_full_disk_does_not_end_the_run(make, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("training.guard.dump.write_text", full)
    run = make()
    run.guard.count(step_result(math.nan, applied=False), run.batch, 3)
    assert run.warnings()[0].content["dumps"] is None


@pytest.mark.parametrize("content", [b"{}", b"\xff", b'{"step": 1}'])
def test_what_is_no_dump_is_one_clear_error(tmp_path, content):
    (tmp_path / "file.json").write_bytes(content)
    with pytest.raises(AnimaticError, match=r"file\.json is not the dump of a skipped step: "):
        read_dump(tmp_path / "file.json")
    with pytest.raises(AnimaticError, match="is missing: choose a file of the folder guard of a run"):
        read_dump(tmp_path / "missing.json")
