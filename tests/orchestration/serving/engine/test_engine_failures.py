"""Jobs that fail end with their cause, without their neighbours; a device that fails ends the replica."""

from collections.abc import Callable, Sequence

import pytest
import torch

import models.animate
from core.storage import UnavailableError
from orchestration.serving.engine import EngineError
from orchestration.serving.engine.device import is_out_of_memory
from orchestration.serving.engine.health import Pulse
from orchestration.serving.engine.timings import Shape, Timings
from orchestration.serving.jobs import JobStoreError
from tests.support.serving import engine_service, picture
from tests.support.waiting import wait_until

OUT_OF_MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: 16 bytes"),
    MemoryError(),
]


@pytest.fixture
def failing(monkeypatch) -> Callable[[Callable[[Sequence[str]], Exception | None]], None]:
    """Makes sampling raise what the test chooses by the prompts of a batch."""
    sample_latents = models.animate.sample_latents

    def install(choose: Callable[[Sequence[str]], Exception | None]) -> None:
        def sampling(animator, image, prompts, *args, **options):
            error = choose(prompts)
            if error is not None:
                raise error
            return sample_latents(animator, image, prompts, *args, **options)

        monkeypatch.setattr(models.animate, "sample_latents", sampling)

    return install


def test_out_of_memory_is_recognised_on_every_device():
    assert all(is_out_of_memory(error) for error in OUT_OF_MEMORY)
    assert not is_out_of_memory(RuntimeError("CUDA error: device-side assert triggered"))


def test_a_batch_without_enough_memory_is_made_one_by_one_and_later_ones_are_smaller(serve, failing):
    failing(lambda prompts: OUT_OF_MEMORY[1] if len(prompts) > 1 else None)
    with serve(batch=2) as service:
        jobs = [service.submit() for _ in range(4)]
        service.start()
        assert [job.state for job in service.wait(*jobs)] == ["completed"] * 4
        assert service.counted("out_of_memory_total") == 1
        assert service.counted("batches_total", "2") == 1
        service.engine.check()


def test_a_clip_that_does_not_fit_alone_fails_and_the_replica_checks_itself_and_continues(serve, failing):
    failing(lambda prompts: OUT_OF_MEMORY[0] if "large" in prompts else None)
    with serve() as service:
        jobs = [service.submit("large"), service.submit("small")]
        service.start()
        large, small = service.wait(*jobs)
        assert (large.state, large.error.code, small.state) == ("failed", "out_of_memory", "completed")
        assert service.counted("self_checks_total", "ok") == 1
        service.engine.check()


def test_a_replica_whose_self_check_fails_leaves_its_jobs_and_reports_itself(serve, failing):
    failing(lambda prompts: OUT_OF_MEMORY[0])
    with serve(batch=2) as service:
        jobs = [service.submit(), service.submit()]
        service.start()
        wait_until(lambda: service.failed, every_s=0.01)
        with pytest.raises(EngineError, match="self-check after an error failed: CUDA out of memory"):
            service.engine.check()
        wait_until(lambda: not service.engine.running, every_s=0.01)
        first, second = service.all(*jobs)
        assert (first.state, first.error.code, second.state) == ("failed", "out_of_memory", "in_progress")


def test_a_job_that_causes_a_fault_fails_alone_with_an_id_that_the_log_explains(serve, failing, caplog):
    failing(lambda prompts: ZeroDivisionError("a bug") if "odd" in prompts else None)
    with serve(batch=3) as service:
        jobs = [service.submit(prompt) for prompt in ("even", "odd", "even")]
        service.start()
        first, odd, third = service.wait(*jobs)
        assert (first.state, odd.state, third.state) == ("completed", "failed", "completed")
        assert odd.error.code == "internal" and "a bug" not in odd.error.message
        fault = odd.error.message.split("fault ")[1].split()[0]
        record = next(record for record in caplog.records if fault in record.getMessage())
        assert "ZeroDivisionError: a bug" in record.exc_text


def test_a_video_that_no_device_survives_fails_after_as_many_replicas_as_allowed(tmp_path, models, failing):
    failing(lambda prompts: RuntimeError("CUDA error: device-side assert triggered"))
    now = [1_800_000_000.0]
    for attempt in (1, 2):
        settings = {"attempts": 2, "clock": lambda: now[0]}
        with engine_service(tmp_path / "state", models, **settings) as service:
            if attempt == 1:
                job = service.submit()
            service.start()
            wait_until(lambda each=service: each.failed and not each.engine.running, every_s=0.01)
            assert service.all(job)[0].state == "in_progress"
            assert service.store.requeue_abandoned() == 0
            now[0] += 6  # the lease ends
            assert service.store.requeue_abandoned() == 1
            (job,) = service.all(job)
            assert job.lost == attempt
    assert (job.state, job.error.code) == ("failed", "replica_lost")


@pytest.mark.parametrize(
    ("spec", "code", "message"),
    [
        ({"sampling": {"text_guidance": 1e30}}, "not_finite", "lower the guidance"),
        ({"mode": "loop", "frames": 2}, "model_unavailable", "mode loop needs at least 3"),
        ({"size": (64, 32)}, "model_unavailable", "size is 64x32, but champion makes clips of 64x64 now"),
    ],
)
def test_a_job_that_the_model_cannot_make_fails_with_the_reason(serve, spec, code, message):
    with serve() as service:
        jobs = [service.submit(**spec), service.submit()]
        service.start()
        failed, after = service.wait(*jobs)
        assert (failed.state, failed.error.code, after.state) == ("failed", code, "completed")
        assert message in failed.error.message
        assert service.counted("self_checks_total", "ok") == 0


def test_a_picture_that_is_gone_fails_its_job_and_not_the_others_of_its_batch(serve):
    with serve(batch=2) as service:
        gone, other = service.submit(), service.submit(image=picture(1))
        service.results.remove(gone.spec.first.name)
        service.start()
        gone, other = service.wait(gone, other)
        assert (gone.state, gone.error.code, other.state) == ("failed", "internal", "completed")


def test_a_replica_whose_device_thread_ends_or_is_stuck_reports_itself(serve, monkeypatch):
    with serve() as service:
        monkeypatch.setattr(service.models, "between_jobs", lambda: 1 / 0, raising=True)
        service.start()
        wait_until(lambda: service.failed, every_s=0.01)
        with pytest.raises(EngineError, match=r"device thread ended with fault .*division by zero"):
            service.engine.check()

    now, timings = [0.0], Timings()
    pulse = Pulse(timings, clock=lambda: now[0])
    now[0] = 800
    pulse.check()  # a first step may load kernels
    timings.step(Shape("v", "animate", None, 2, 1), 30.0)
    with pytest.raises(EngineError, match="nothing for 800 s, 600 s are allowed"):
        pulse.check()
    compiling = Pulse(timings, clock=lambda: now[0], compiles=True)
    now[0] = 1600
    compiling.check()  # the first step of a new shape may compile the network
    pulse.beat()
    pulse.check()


def test_an_outage_of_the_database_and_of_the_results_store_loses_nothing(serve, monkeypatch):
    with serve() as service:
        failing_once(monkeypatch, service.results, "read", UnavailableError("no answer"))
        failing_once(monkeypatch, service.results, "put", UnavailableError("no answer"))
        failing_once(monkeypatch, service.store, "complete", JobStoreError("no answer"))
        job = service.submit()
        service.start()
        (job,) = service.wait(job)
        assert (job.state, job.attempt, job.lost) == (
            "completed",
            2,
            0,
        )
        service.engine.check()


def failing_once(monkeypatch, owner, name, error):
    """The first call of a method raises an error."""
    method, errors = getattr(owner, name), [error]

    def call(*args, **options):
        if errors:
            raise errors.pop()
        return method(*args, **options)

    monkeypatch.setattr(owner, name, call)
