"""``python -m tests.bench.encoding``: what shards cost without x264's macroblock tree, at equal quality."""

import argparse
import tempfile
import time
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from core.h264 import MP4_OPTIONS, H264Settings, add_h264_stream
from pipelines.video.mp4_writer import clip_encoding
from pipelines.video.scale import Scaler
from pipelines.video.settings import ClipSettings
from pipelines.video.source_frames import SourceFrame
from tests.bench.footage import write_clips

_CRFS = (17, 19, 21, 23)
_REFERENCE_CRF = 20


@dataclass(frozen=True)
class _Encoded:
    """Bytes, processor seconds and the mean squared error of luma of all clips together."""

    size: int
    seconds: float
    error: float

    @property
    def psnr(self) -> float:
        return 10 * np.log10(255**2 / self.error)


@dataclass(frozen=True)
class _WithTree(H264Settings):
    """The settings of shards before: with the macroblock tree."""

    def options(self) -> dict[str, str]:
        options = super().options()
        return {**options, "x264-params": options["x264-params"].replace("mbtree=0:", "")}


def main() -> None:
    """Print a Markdown table, one row for each kind of settings."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.encoding", description=__doc__)
    parser.add_argument("--clips", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each clip")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="animatic-bench-") as scratch:
        paths = write_clips(Path(scratch), options.clips)
        clips = [_frames(path, options.seconds) for path in paths]
        kinds = {"with the macroblock tree": _WithTree, "without": H264Settings}
        curves = {
            name: {crf: _encode(clips, kind, crf, Path(scratch)) for crf in sorted({*_CRFS, _REFERENCE_CRF})}
            for name, kind in kinds.items()
        }
    print(f"| x264, crf {_REFERENCE_CRF} | bytes | PSNR | bytes at equal PSNR | processor seconds |")
    print("| --- | --- | --- | --- | --- |")
    reference = curves["with the macroblock tree"][_REFERENCE_CRF]
    for name, curve in curves.items():
        print(_row(name, curve, reference))


def _row(name: str, curve: dict[int, _Encoded], reference: _Encoded) -> str:
    here = curve[_REFERENCE_CRF]
    at_equal = np.exp(
        np.interp(
            reference.psnr,
            [point.psnr for point in reversed(curve.values())],
            [np.log(point.size) for point in reversed(curve.values())],
        )
    )
    figures = (
        f"{here.size / 1e6:.2f} MB ({here.size / reference.size - 1:+.1%})",
        f"{here.psnr:.2f} dB",
        f"{at_equal / reference.size - 1:+.1%}",
        f"{here.seconds:.1f}",
    )
    return f"| {name} | " + " | ".join(figures) + " |"


def _frames(path: Path, seconds: float) -> list[av.VideoFrame]:
    """The beginning of a video as shards get it: yuv420p, short side 256."""
    scaler = Scaler(path, ClipSettings())
    with av.open(str(path)) as container:
        rate = container.streams.video[0].average_rate
        count = round(seconds * rate)
        frames = zip(container.decode(video=0), range(count), strict=False)
        return [scaler(SourceFrame(Fraction(0), frame)).frame for frame, _ in frames]


def _encode(clips: list[list[av.VideoFrame]], kind: type[H264Settings], crf: int, folder: Path) -> _Encoded:
    size = errors = pixels = 0.0
    seconds = 0.0
    for frames in clips:
        path = folder / "encoded.mp4"
        before = time.process_time()
        _write(frames, path, kind, crf)
        seconds += time.process_time() - before
        size += path.stat().st_size
        with av.open(str(path)) as container:
            for original, decoded in zip(frames, container.decode(video=0), strict=True):
                difference = _luma(original).astype(np.int32) - _luma(decoded)
                errors, pixels = errors + float((difference**2).sum()), pixels + difference.size
    return _Encoded(int(size), seconds, errors / pixels)


def _write(frames: list[av.VideoFrame], path: Path, kind: type[H264Settings], crf: int) -> None:
    fps = Fraction(30)
    shard = clip_encoding(ClipSettings(crf=crf), fps)
    settings = kind(shard.crf, shard.preset, shard.tune, shard.parameters)
    with av.open(str(path), "w", container_options=MP4_OPTIONS) as container:
        size = {"width": frames[0].width, "height": frames[0].height}
        stream = add_h264_stream(container, settings, **size, fps=fps, matrix="bt601")
        for number, frame in enumerate(frames):
            frame.pts, frame.time_base, frame.pict_type = number, 1 / fps, 0
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _luma(frame: av.VideoFrame) -> np.ndarray:
    plane = frame.planes[0]
    return np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)[:, : frame.width]


if __name__ == "__main__":
    main()
