"""Images are read safely, and clips are written as files that players accept."""

import av
import numpy as np
import pytest
from PIL import Image

from orchestration import media


def moving_square(frames: int = 8, side: int = 32) -> np.ndarray:
    clip = np.full((frames, side, side, 3), 40, np.uint8)
    for number in range(frames):
        clip[number, 8:16, 2 * number : 2 * number + 8] = (200, 60, 40)
    return clip


def test_clip_files_hold_the_frames_in_order(tmp_path):
    clip = moving_square()
    files = media.write_clip(clip, tmp_path / "made" / "clip", fps=8)

    with av.open(str(files.mp4)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, float(stream.average_rate)) == ("h264", 8.0)
        decoded = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(stream)])
    assert decoded.shape == clip.shape
    assert np.abs(decoded.astype(int) - clip).mean() < 8
    with Image.open(files.gif) as gif:
        assert (gif.n_frames, gif.size) == (8, (32, 32))
    with Image.open(files.large) as large:
        assert (large.n_frames, large.size) == (8, (256, 256))
    assert sorted(path.name for path in files.mp4.parent.iterdir()) == [
        "clip-large.gif",
        "clip.gif",
        "clip.mp4",
    ]


def test_odd_sizes_are_encoded_too(tmp_path):
    media.write_mp4(moving_square(side=33), tmp_path / "odd.mp4", fps=8)
    with av.open(str(tmp_path / "odd.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) == 8


def gif_delays(path):
    with Image.open(path) as gif:
        delays = []
        for number in range(gif.n_frames):
            gif.seek(number)
            delays.append(gif.info["duration"])
    return delays


@pytest.mark.parametrize(
    ("fps", "delay"), [(8, 120), (12.5, 80), (24, 40), (30, 30), (50, 20), (60, 20), (240, 20), (0.1, 10_000)]
)
def test_a_gif_has_the_nearest_delay_that_browsers_play(tmp_path, fps, delay):
    files = media.write_clip(moving_square(frames=3), tmp_path / "clip", fps)
    assert gif_delays(files.gif) == gif_delays(files.large) == [delay] * 3
    assert files.gif_fps == 1000 / delay


@pytest.mark.parametrize(
    ("height", "width", "matrix"), [(64, 64, 6), (718, 1280, 6), (720, 1280, 1), (1080, 192, 1)]
)
def test_an_mp4_is_tagged_with_the_matrix_that_players_assume_at_its_size(tmp_path, height, width, matrix):
    colours = np.zeros((2, height, width, 3), np.uint8)
    colours[:, : height // 2], colours[:, height // 2 :] = (220, 20, 20), (20, 200, 20)
    media.write_mp4(colours, tmp_path / "clip.mp4", 8)
    with av.open(str(tmp_path / "clip.mp4")) as container:
        context = container.streams.video[0].codec_context
        tags = (context.colorspace, context.color_range, context.color_primaries, context.color_trc)
        frame = next(container.decode(video=0))
    assert tags == (matrix, 1, 1, 1)
    pixels = frame.reformat(format="rgb24", src_colorspace=matrix).to_ndarray()
    assert np.abs(pixels[4, 4].astype(int) - (220, 20, 20)).max() < 8
    assert np.abs(pixels[-4, -4].astype(int) - (20, 200, 20)).max() < 8


def test_frames_of_a_clip_are_exact_at_the_ends_of_the_range():
    import torch

    clip = torch.tensor([-1.0, 0.0, 1.0, 3.0]).reshape(4, 1, 1, 1).expand(4, 3, 2, 2)
    assert media.to_frames(clip)[:, 0, 0, 0].tolist() == [0, 128, 255, 255]


@pytest.mark.parametrize("kind", ["noise", "gradient", "few colours", "still", "single"])
def test_a_gif_has_the_bytes_that_pillow_writes_from_colours(tmp_path, kind):
    noise = np.random.default_rng(0).integers(0, 256, (5, 24, 18, 3), dtype=np.uint8)
    ramp = np.add.outer(np.arange(24), np.arange(18))[:, :, None] * np.array([6, 3, 1])
    frames = {
        "noise": noise,
        "gradient": np.stack([ramp + 4 * n for n in range(5)]).astype(np.uint8),
        "few colours": noise // 128 * 255,
        "still": np.repeat(noise[:1], 4, axis=0),
        "single": noise[:1],
    }[kind]
    media.write_gif(frames, tmp_path / "ours.gif", 8)
    first, *others = [Image.fromarray(frame) for frame in frames]
    first.save(
        tmp_path / "plain.gif", "GIF", save_all=True, append_images=others, duration=media.gif_delay_ms(8),
        loop=0, optimize=False,
    )  # fmt: skip
    assert (tmp_path / "ours.gif").read_bytes() == (tmp_path / "plain.gif").read_bytes()
