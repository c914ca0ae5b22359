"""What the engine makes of jobs: the clips of `animatic animate`, alone and in batches."""

from pathlib import Path

import numpy as np
import pytest

from orchestration.workflows.animate import AnimateOptions, animate, prepare_animation
from orchestration.workflows.sampling import SamplingOptions
from orchestration.workspace import Workspace
from tests.support.serving import STEPS, Service, frames_of, picture
from tests.support.waiting import wait_until


@pytest.mark.parametrize(
    ("spec", "options"),
    [
        ({"seed": 7}, {}),
        (
            {"seed": 2**44 - 1, "sampling": {"steps": 3, "image_guidance": 1.5}, "mode": "loop", "frames": 4},
            {"loop": True},
        ),
        ({"seed": 0, "mode": "interpolate", "playback": 12.5}, {"last": 2}),
    ],
    ids=["defaults", "loop", "interpolate"],
)
def test_a_clip_has_the_bytes_that_animate_writes(serve, exports: Path, tmp_path: Path, spec, options):
    (tmp_path / "first.png").write_bytes(picture(1, (96, 80)))
    (tmp_path / "last.png").write_bytes(picture(2))
    sampling = SamplingOptions(seed=spec["seed"], **spec.get("sampling", {}))
    request = prepare_animation(
        AnimateOptions(
            image=tmp_path / "first.png",
            prompt="a ball rolls",
            bundle=str(exports.parent / "runs" / "bundle-0"),
            out=tmp_path / "out",
            sampling=sampling,
            playback=spec.get("playback", 8.0),
            frames=spec.get("frames"),
            last=tmp_path / "last.png" if "last" in options else None,
            loop=options.get("loop", False),
        ),
        Workspace(tmp_path / "runs"),
    )
    (files,) = animate(request, lambda done, total: None).clips
    with serve() as service:
        last = {"last": service.store_picture(picture(2))} if "last" in options else {}
        job = service.submit(image=picture(1, (96, 80)), **spec, **last)
        service.start()
        (job,) = service.wait(job)
        assert service.read(job.mp4) == files.mp4.read_bytes()
        assert service.read(job.gif) == files.gif.read_bytes()
    assert job.made_by.bundle_id == request.bundle.id and job.made_by.alias is None  # exported as a folder
    assert (job.mp4.frames, job.mp4.width, job.mp4.height) == (3, 64, 64)


def test_progress_counts_the_steps_that_are_done_and_estimates_the_time_left(serve, gate):
    with serve() as service:
        first, second = service.submit(), service.submit()
        gate.close(after=2)
        service.start()
        gate.wait()
        job = wait_until(lambda: next((job for job in service.all(first) if job.step), None), every_s=0.01)
        assert (job.state, job.step, job.steps) == ("in_progress", 1, STEPS)
        assert service.all(second)[0].position == 1
        gate.go_on(until=1)  # of the second job, whose shape has been measured

        def waiting():
            return next((job for job in service.all(second) if job.remaining_s is not None), None)

        job = wait_until(waiting, every_s=0.01)
        assert (job.step, job.steps) == (0, STEPS) and 0 < job.remaining_s < 60
        gate.open()
        assert [job.step for job in service.wait(first, second)] == [STEPS, STEPS]


def test_a_batch_makes_the_clips_that_its_jobs_make_alone(serve):
    def submitted(service: Service):
        return [
            service.submit(prompt, picture(seed), seed=seed)
            for seed, prompt in enumerate(["a red ball", "", "a blue star moves left"])
        ]

    with serve(batch=3) as service:
        jobs = submitted(service)
        service.start()
        together = [frames_of(service.read(job.mp4)) for job in service.wait(*jobs)]
        assert service.counted("batches_total", "3") == 1
    with serve(batch=1) as service:
        jobs = submitted(service)
        service.start()
        alone = [frames_of(service.read(job.mp4)) for job in service.wait(*jobs)]
        assert service.counted("batches_total", "1") == 3
    for index, (one, other) in enumerate(zip(together, alone, strict=True)):
        # A value that rounds to another grey changes what H.264 keeps of its block.
        assert np.abs(one - other).mean() < 0.1
        assert all(np.abs(one - each).mean() > 5 for each in alone[:index])
