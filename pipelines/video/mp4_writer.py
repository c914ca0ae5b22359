"""Files of encoded clips: the clip itself, and its further encodings at other sizes and rates."""

from fractions import Fraction
from pathlib import Path

import av
from av.container import OutputContainer
from av.video.frame import PictureType

from core.h264 import MP4_OPTIONS, H264Settings, add_h264_stream, x264_version
from pipelines.video.records import EncoderRecord, RungRecord, rung_member
from pipelines.video.scale import Picture
from pipelines.video.settings import ClipSettings, Rung


class Mp4Writer:
    """An mp4 of a constant frame rate and a closed group of pictures a second, without B-frames and so
    without an edit list; it is opened with its first frame.

    Attributes:
        frames: number of frames so far.
    """

    def __init__(self, path: Path, fps: Fraction, settings: ClipSettings) -> None:
        self.frames = 0
        self._path, self._fps = path, fps
        self._encoding = clip_encoding(settings, fps)
        self._file: OutputContainer | None = None

    def add(self, frame: av.VideoFrame) -> None:
        """Append a frame, at the size of the first."""
        file = self._file if self._file is not None else self._open(frame.width, frame.height)
        frame.pts, frame.time_base, frame.pict_type = self.frames, 1 / self._fps, PictureType.NONE
        file.mux(file.streams.video[0].encode(frame))
        self.frames += 1

    def close(self) -> EncoderRecord:
        """Finish a file of at least one frame; returns what encoded it."""
        if self._file is None:
            raise ValueError(f"{self._path.name} has no frames")
        self._file.mux(self._file.streams.video[0].encode(None))
        self._file.close()
        return {"name": x264_version(), "options": self._encoding.options()}

    def discard(self) -> None:
        """Give up the file and delete it."""
        if self._file is not None:
            self._file.close()
            self._path.unlink(missing_ok=True)  # FFmpeg creates it with the first packet

    def _open(self, width: int, height: int) -> OutputContainer:
        options = {**MP4_OPTIONS, "use_editlist": "0"}
        self._file = av.open(str(self._path), "w", container_options=options)
        add_h264_stream(self._file, self._encoding, width=width, height=height, fps=self._fps, matrix="bt601")
        return self._file


class LadderWriter:
    """The further encodings of one clip, from the same pictures.

    Attributes:
        skipped: names of rungs that would be larger than the video, or equal to the clip or another rung.
    """

    def __init__(self, clip: Path, fps: Fraction, settings: ClipSettings, first: Picture) -> None:
        """``clip`` is the clip's path without suffix, ``fps`` its rate, ``first`` its first picture."""
        self.skipped: list[str] = []
        self._rungs: list[_RungWriter] = []
        made = {(first.size, fps)}
        for number, (rung, size) in enumerate(zip(settings.ladder, first.rung_sizes, strict=True)):
            rate = fps if rung.fps is None else min(fps, Fraction(rung.fps).limit_denominator(1001))
            if size is None or (size, rate) in made:
                self.skipped.append(rung.name)
            else:
                made.add((size, rate))
                self._rungs.append(_RungWriter(clip, number, rung, size, fps, rate, settings))

    def add(self, picture: Picture) -> None:
        """Take the clip's next picture."""
        for rung in self._rungs:
            rung.add(picture)

    def close(self) -> tuple[list[RungRecord], dict[str, EncoderRecord]]:
        """Finish the files; returns their records, and what encoded them by member."""
        closed = [rung.close() for rung in self._rungs]
        return [record for record, _ in closed], {rung_member(r["rung"]): encoder for r, encoder in closed}

    def discard(self) -> None:
        """Give up the files and delete them."""
        for rung in self._rungs:
            rung.discard()


class _RungWriter:
    """One further encoding: each of its frames is the clip's nearest in time."""

    def __init__(
        self,
        clip: Path,
        number: int,
        rung: Rung,
        size: tuple[int, int],
        clip_fps: Fraction,
        fps: Fraction,
        settings: ClipSettings,
    ) -> None:
        self._number, self._name, self._size, self._fps = number, rung.name, size, fps
        self._file = Mp4Writer(clip.with_name(f"{clip.name}.{rung_member(rung.name)}"), fps, settings)
        self._step = clip_fps / fps
        self._seen = 0

    def add(self, picture: Picture) -> None:
        if int(self._file.frames * self._step + Fraction(1, 2)) == self._seen:
            self._file.add(picture.rung(self._number))
        self._seen += 1

    def close(self) -> tuple[RungRecord, EncoderRecord]:
        encoder = self._file.close()
        record: RungRecord = {
            "rung": self._name,
            "width": self._size[0],
            "height": self._size[1],
            "fps": float(self._fps),
            "frames": self._file.frames,
        }
        return record, encoder

    def discard(self) -> None:
        self._file.discard()


def clip_encoding(settings: ClipSettings, fps: Fraction) -> H264Settings:
    """A closed group of pictures a second, which readers can decode from its first frame."""
    keyint = max(1, round(fps))
    parameters = f"keyint={keyint}:min-keyint={keyint}:scenecut=0:open-gop=0:bframes=0"
    return H264Settings(settings.crf, settings.preset, "fastdecode", parameters)
