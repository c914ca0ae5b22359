"""Writing one clip: its mp4 and further encodings, its scores, and frames drawn from it at random.

Each clip has a constant frame rate, square even pixels, and bytes that depend on the input and the settings
alone.
"""

import random
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image, features

from pipelines.video.mp4_writer import LadderWriter, Mp4Writer
from pipelines.video.records import ClipRecord, Conversions, EncoderRecord, image_name
from pipelines.video.scale import Picture
from pipelines.video.scores import Scores
from pipelines.video.settings import RECORDED_WATERMARK, ClipSettings
from pipelines.video.stored_colours import rgb_pixels


class ClipWriter:
    """Takes frames one by one; ``close`` finishes ``out``/KEY.mp4 and KEY.jpg and describes the clip.

    Attributes:
        frames: number of frames so far.
    """

    def __init__(self, out: Path, key: str, fps: Fraction, settings: ClipSettings, tick: int) -> None:
        """``tick`` is the clip's first frame, counted from the start of the video at ``fps``."""
        self.frames = 0
        self._key, self._fps, self._settings, self._start = key, fps, settings, tick / fps
        self._scores = Scores(float(fps))
        self._random = random.Random(f"{settings.seed}:{key}:condition")
        self._path = out / key
        self._file = Mp4Writer(self._path.with_suffix(".mp4"), fps, settings)
        self._ladder: LadderWriter | None = None
        self._drawn: list[tuple[int, av.VideoFrame]] = []
        self._conversions: Conversions = {}
        self._combed, self._bars = 0, 0.0

    @property
    def seconds(self) -> float:
        """Length so far."""
        return float(self.frames / self._fps)

    def add(self, picture: Picture) -> None:
        """Take the next picture, at the size of the first."""
        frame = picture.frame
        self._conversions.update(picture.conversions)
        self._combed += bool(picture.combed)
        self._bars = max(self._bars, picture.bars or 0.0)
        self._maybe_draw(frame)
        if self._scores.wants_next():
            plane = frame.planes[0]
            luma = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)
            self._scores.add(luma[:, : frame.width])
        else:
            self._scores.skip()
        self._file.add(frame)
        if self._settings.ladder:
            if self._ladder is None:
                self._ladder = LadderWriter(self._path, self._fps, self._settings, picture)
            self._ladder.add(picture)
        self.frames += 1

    def close(self) -> ClipRecord:
        """Finish the files of a clip of at least one frame."""
        encoder = self._file.close()
        height, width = self._save_images()
        scores = self._scores
        record: ClipRecord = {
            "key": self._key,
            "start": round(float(self._start), 6),
            "duration": round(self.seconds, 6),
            "fps": float(self._fps),
            "frames": self.frames,
            "width": width,
            "height": height,
            "condition_frame": self._drawn[0][0],
            "condition_frames": [index for index, _ in self._drawn],
            "scores": {
                "motion": scores.motion,
                "brightness": scores.brightness,
                "text": scores.text,
                "aspect": round(width / height, 4),
            },
            "phash": scores.phash,
            "encoders": {"mp4": encoder, "jpg": self._jpg_encoder()},
        }
        if self._settings.measure_combing:
            record["scores"]["combing"] = round(self._combed / self.frames, 4)
        if self._settings.measure_bars:
            record["scores"]["bars"] = round(self._bars, 4)
        if self._conversions:
            record["conversions"] = self._conversions
        if self._settings.watermark is not None:
            record["watermark"] = RECORDED_WATERMARK.values(self._settings.watermark)
        if self._ladder is not None:
            rungs, encoders = self._ladder.close()
            if rungs:
                record["rungs"] = rungs
                record["encoders"] |= encoders
            if self._ladder.skipped:
                record["rungs_skipped"] = self._ladder.skipped
        return record

    def discard(self) -> None:
        """Give up the clip and delete its files."""
        self._file.discard()
        if self._ladder is not None:
            self._ladder.discard()

    def _maybe_draw(self, frame: av.VideoFrame) -> None:
        # Reservoir sampling (Vitter 1985, algorithm R): the length of the clip is not known yet.
        wanted = self._settings.condition_frames
        slot = int(self._random.random() * (self.frames + 1))
        if len(self._drawn) < wanted:
            self._drawn.append((self.frames, frame))
        elif slot < wanted:
            self._drawn[slot] = (self.frames, frame)

    def _save_images(self) -> tuple[int, int]:
        """Store the drawn frames; returns their (height, width)."""
        images = [rgb_pixels(frame) for _, frame in self._drawn]
        for number, rgb in enumerate(images):
            path = self._path.with_name(image_name(self._key, number))
            Image.fromarray(rgb).save(path, "JPEG", **self._image_options())
        return images[0].shape[0], images[0].shape[1]

    def _image_options(self) -> dict[str, int]:
        return {"quality": self._settings.jpeg_quality, "subsampling": 0}

    def _jpg_encoder(self) -> EncoderRecord:
        options = {name: str(value) for name, value in self._image_options().items()}
        return {"name": f"libjpeg-turbo {features.version('libjpeg_turbo')}", "options": options}
