"""Which files are opened as videos, and what the others are.

Run in the sandbox only: the files are hostile.
"""

import contextlib
import re
import resource
from collections.abc import Iterator
from pathlib import Path

import av
import av.logging
from av.container import InputContainer

from core.errors import RejectedError
from core.file_kinds import HEAD_BYTES, FileKind, kind_of
from pipelines.video.endings import is_cut

# FFmpeg's names of demuxers. Playlists and similar formats are missing: they could open other files.
_FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,flv,asf,ogg,"
    "mxf,dv,yuv4mpegpipe,gif,apng,ivf,nut,wtv,h264,hevc,mpegvideo,m4v,obu"
)
# Containers of video that FFmpeg knows and that are not opened; what is not listed is not a video.
_UNSUPPORTED = (
    "3dostr 4xm amv anm avs avs2 avs3 bethsoftvid bfi bink c93 cavsvideo cdxl cine dhav dirac dnxhd "
    "dsicin dxa ea ea_cdata evc film_cpk filmstrip flic frm gdv gxf h261 h263 hnm idcin iff ifv ingenient "
    "ipmovie ipu iss iv8 jpegxl_anim jv kux live_flv lmlm4 lvf lxf mgsts mjpeg mjpeg_2000 mlv mm moflex "
    "mpegtsraw mpjpeg msnwctcp mtv mv mvi nc nsv nuv paf pmp psxstr pva r3d rl2 rm roq rpl ser sga siff "
    "smjpeg smk smush swf thp tmv ty usm vc1 vc1test vividas vivo vmd vvc wc3movie xmv yop"
)
_PROBED = re.compile(r"^Format (\S+) probed with size=")
_MEMORY_MARGIN = 512 << 20  # bytes, more than most frames of the largest allowed size take


@contextlib.contextmanager
def rejecting(path: Path, reason: str) -> Iterator[None]:
    """Turn decoding errors into a RejectedError; FileNotFoundError is not the file's fault and passes."""
    try:
        yield
    except FileNotFoundError:
        raise
    except (MemoryError, av.error.FFmpegError, ValueError) as error:
        # Some decoders report invalid data when memory for a frame cannot be allocated.
        if isinstance(error, MemoryError) or _short_of_memory():
            raise RejectedError("decoder_memory", "decoding it takes more than decoder_memory") from error
        raise RejectedError("truncated" if is_cut(path) else reason, type(error).__name__) from error


def open_video(path: Path) -> InputContainer:
    """The file as a PyAV container. Raises RejectedError if it is not a video or of another container."""
    try:
        with rejecting(path, "not_a_video"):
            return _open(path)
    except RejectedError as error:
        if error.reason == "not_a_video" and (name := _probed_format(path)) is not None:
            reason = "container_not_supported" if name in _UNSUPPORTED.split() else "not_a_video"
            damaged = not set(name.split(",")).isdisjoint(_FORMATS.split(","))
            raise RejectedError(reason, f"{name}, damaged" if damaged else name) from error
        if error.reason == "not_a_video" and (kind := _kind_of(path)) is not None:
            raise RejectedError("not_a_video", kind.value) from error
        raise


def _kind_of(path: Path) -> FileKind | None:
    with path.open("rb") as file:
        return kind_of(file.read(HEAD_BYTES))


def _open(path: Path) -> InputContainer:
    return av.open(str(path), container_options={"format_whitelist": _FORMATS, "protocol_whitelist": "file"})


def _probed_format(path: Path) -> str | None:
    """FFmpeg's name of a format that is not opened; it is known from its log alone."""
    level = av.logging.get_level()
    av.logging.set_level(av.logging.DEBUG)
    try:
        with av.logging.Capture() as lines, contextlib.suppress(av.error.FFmpegError, ValueError):
            _open(path).close()
    finally:
        av.logging.set_level(level)
    names = [found[1] for _, _, line in lines if (found := _PROBED.match(line))]
    return names[0] if names else None


def _short_of_memory() -> bool:
    """Whether this process came so close to its memory limit that another frame might not fit."""
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY:
        return False
    status = Path("/proc/self/status").read_text()
    peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmPeak:"))
    return limit - peak * 1024 < _MEMORY_MARGIN
