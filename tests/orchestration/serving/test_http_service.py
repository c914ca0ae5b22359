"""The whole service in one process: a picture goes in by HTTP, the clip of ``animate`` comes out."""

from pathlib import Path

import requests

from models.animate import animate
from orchestration.media import to_frames, write_clip
from orchestration.pictures import open_picture, to_tensor
from tests.support.serving import FixedModels, http_service, picture
from tests.support.waiting import wait_until


def test_a_picture_posted_by_http_becomes_the_clip_that_animate_makes(models: FixedModels, tmp_path: Path):
    with http_service(tmp_path / "state", models) as (_, url):
        assert requests.get(f"{url}/readyz", timeout=60).json()["ready"]
        answer = requests.post(
            f"{url}/v1/videos",
            files={"input_reference": ("my.png", picture(5), "image/png")},
            data={"prompt": "a ball rolls", "seed": "11", "num_inference_steps": "2"},
            timeout=60,
        )
        assert answer.status_code == 202
        path = f"{url}/v1/videos/{answer.json()['id']}"
        video = wait_until(
            lambda: (found := requests.get(path, timeout=60).json())["status"] == "completed" and found
        )
        content = requests.get(f"{path}/content", timeout=60)

    champion = models.resolve("champion")
    assert champion is not None
    settings = champion.exported.sampling.model_copy(update={"seed": 11, "steps": 2})
    image = to_tensor(open_picture(picture(5)), 64, 64)
    (clip,) = animate(champion.animator, image, ["a ball rolls"], settings)
    files = write_clip(to_frames(clip), tmp_path / "alone", 8.0)
    assert content.content == files.mp4.read_bytes()
    assert (video["seed"], video["num_inference_steps"], video["step"]) == (11, 2, 2)
    assert video["bundle"]["id"] == champion.exported.bundle.id
