"""Cancelled jobs leave the device at the next step; the others of their batch continue."""

import threading

import numpy as np

from orchestration import media
from tests.support.serving import STEPS, frames_of, picture
from tests.support.waiting import wait_until

MORE = {"steps": STEPS + 1}


def test_a_member_leaves_its_batch_at_the_next_step_and_the_others_are_completed(serve, gate):
    with serve(batch=3) as service:
        jobs = [service.submit(image=picture(seed), seed=seed, sampling=MORE) for seed in range(3)]
        gate.close(after=2)
        service.start()
        gate.wait()
        service.store.request_cancel(jobs[1].id)
        wait_until(lambda: service.knows_cancelled(jobs[1]), every_s=0.01)
        assert service.store.get(jobs[1].id).state == "in_progress"  # the device may still work on it
        gate.go_on(until=3)
        assert service.store.get(jobs[1].id).state == "cancelled"
        gate.open()
        first, _, third = service.wait(*jobs)
        assert (first.state, third.state) == ("completed", "completed")
        found = [frames_of(service.read(job.mp4)) for job in (first, third)]
    with serve() as service:
        alone = [service.submit(image=picture(seed), seed=seed, sampling=MORE) for seed in (0, 2)]
        service.start()
        expected = [frames_of(service.read(job.mp4)) for job in service.wait(*alone)]
    assert all(np.abs(one - other).mean() < 0.1 for one, other in zip(found, expected, strict=True))


def test_a_batch_that_all_have_left_ends_at_once_and_the_device_takes_the_next_job(serve, gate):
    with serve(batch=2) as service:
        jobs = [service.submit(seed=seed, sampling=MORE) for seed in range(2)]
        gate.close(after=1)
        service.start()
        gate.wait()
        for job in jobs:
            service.store.request_cancel(job.id)
        wait_until(lambda: all(service.knows_cancelled(job) for job in jobs), every_s=0.01)
        after = service.submit()
        gate.open()
        ended = service.wait(*jobs, after)
        assert [job.state for job in ended] == ["cancelled", "cancelled", "completed"]
        assert service.counted("steps_total", "champion") == 1 + STEPS


def test_a_job_is_cancelled_while_its_clip_waits_to_be_written(serve, monkeypatch):
    written = threading.Event()
    write_clip_file = media.write_clip_file

    def slow(frames, path, fps):
        assert written.wait(200)
        return write_clip_file(frames, path, fps)

    monkeypatch.setattr(media, "write_clip_file", slow)
    with serve() as service:
        first, second = service.submit(), service.submit()
        service.start()
        wait_until(lambda: all(job.step == STEPS for job in service.all(first, second)), every_s=0.01)
        service.store.request_cancel(second.id)
        wait_until(lambda: service.knows_cancelled(second), every_s=0.01)
        written.set()
        first, second = service.wait(first, second)
        assert (first.state, second.state) == ("completed", "cancelled")
        assert second.clips == []
