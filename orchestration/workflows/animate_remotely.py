"""Animate an image with a service: the request of ``animate``, sampled elsewhere."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from core.disk_errors import usable_folder
from core.errors import AnimaticError
from core.files import atomic_file, sha256
from orchestration.serving.client import Connection, ServerError, VideoClient, server_url
from orchestration.serving.schema import Video, VideoRequest
from orchestration.workflows.clip_names import check_seeds, clip_stem, single_file
from orchestration.workspace import Workspace

if TYPE_CHECKING:
    from orchestration.media import ClipFiles

# Videos that wait or run at once: enough for a batch, few of a queue that others use too.
_AHEAD = 8
_DIGEST_DIGITS = 8
# By field of a request: the option that sets it.
_OPTIONS = {
    "model": "--bundle",
    "loop": "--loop",
    "num_frames": "--frames",
    "fps": "--playback",
    "num_inference_steps": "--steps",
    "guidance_scale": "--text-guidance",
    "image_guidance_scale": "--image-guidance",
    "eta": "--eta",
    "solver": "--solver",
    "conditioning_fps": "--fps",
    "motion": "--motion",
    "seed": "--seed",
    "last_reference": "--last",
}
Note = Callable[[str], None]


@dataclass(frozen=True)
class RemoteOptions:
    """What to animate, where, and how.

    Attributes:
        server: URL of the service.
        key: API key, where the service needs one.
        image, last: pictures to begin and to end at.
        fields: what the user chose, by field of :class:`orchestration.serving.schema.VideoRequest`; those
            that are None, the service decides.
        count: clips to make, each with its own seed.
        out: a folder, or the name of an mp4 or GIF; ``runs/animations`` if None.
    """

    server: str
    image: Path
    prompt: str
    key: str | None = None
    last: Path | None = None
    fields: Mapping[str, object] = field(default_factory=dict)
    count: int = 1
    out: Path | None = None


@dataclass(frozen=True)
class RemoteRequest:
    """A checked request: its pictures read, its folder writable."""

    options: RemoteOptions
    url: str
    request: VideoRequest
    pictures: dict[str, bytes]
    folder: Path
    file: Path | None


@dataclass(frozen=True)
class RemoteClip:
    """A clip that the service made: the video, and where it was written."""

    video: Video
    files: ClipFiles


@dataclass(frozen=True)
class RemoteResult:
    """The clips, by rising seed."""

    server: str
    clips: list[RemoteClip]


def prepare_remote(options: RemoteOptions, workspace: Workspace) -> RemoteRequest:
    """Read the pictures and check what can be checked without the service.

    Raises:
        AnimaticError: no such image, one that cannot be read, a path that cannot be written to, a value
            out of range, contradicting options, or no URL.
    """
    url = server_url(options.server)
    if options.fields.get("loop") and options.last is not None:
        raise AnimaticError("--loop ends at the image itself and --last at another: give one of them")
    file = single_file(options.out, options.count)
    request = _request(options)
    check_seeds(request.seed or 0, options.count)
    paths = {"input_reference": options.image, "last_reference": options.last}
    pictures = {name: _picture(path) for name, path in paths.items() if path is not None}
    folder = usable_folder(file.parent if file else options.out or workspace.root / "animations")
    return RemoteRequest(options, url, request, pictures, folder, folder / file.name if file else None)


def animate_remotely(
    request: RemoteRequest, on_state: Callable[[int, Video], None], note: Note
) -> RemoteResult:
    """Ask for the clips, follow, fetch and write them; cancel them if this is interrupted.

    Args:
        on_state: gets the number of a clip, from 0, and its state.
        note: gets a line about every outage, and whatever could not be cancelled.

    Raises:
        ServerError: the service refused the request, lost or failed a video, or does not answer.
    """
    with contextlib.closing(Connection(request.url, request.options.key, note)) as connection:
        client = VideoClient(connection)
        client.models()
        waiting: deque[Video] = deque()
        clips: list[RemoteClip] = []
        with _cancelling(client, waiting, note):
            for video in _submitted(client, request, waiting):
                number = len(clips)
                ended = client.follow(video, lambda state, number=number: on_state(number, state))  # type: ignore[misc]
                waiting.popleft()
                clips.append(RemoteClip(ended, _written(client, request, _completed(ended, connection.name))))
    return RemoteResult(connection.name, clips)


def _request(options: RemoteOptions) -> VideoRequest:
    chosen = {name: value for name, value in options.fields.items() if value is not None}
    try:
        return VideoRequest.model_validate({"prompt": options.prompt, **chosen})
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        raise AnimaticError(f"{_OPTIONS.get(name, name)} {first['input']}: {first['msg']}") from error


def _picture(path: Path) -> bytes:
    from orchestration.pictures import open_picture

    open_picture(path)  # or the same error as without a service
    return path.read_bytes()


def _submitted(client: VideoClient, request: RemoteRequest, waiting: deque[Video]) -> Iterator[Video]:
    """Each video when its turn to be followed comes; some more wait on the service meanwhile."""
    seed, number = request.request.seed, 0
    while number < request.options.count or waiting:
        while number < request.options.count and len(waiting) < _AHEAD:
            chosen = {} if seed is None else {"seed": seed + number}
            video = _accepted(client, request.request.model_copy(update=chosen), request.pictures)
            seed = video.seed if seed is None else seed
            waiting.append(video)
            number += 1
        yield waiting[0]


def _accepted(client: VideoClient, request: VideoRequest, pictures: dict[str, bytes]) -> Video:
    try:
        return client.submit(request, pictures)
    except ServerError as error:
        option = _OPTIONS.get(error.param or "")
        if option is None:
            raise
        raise ServerError(f"{option}: {error}", error.code, error.param) from error


@contextlib.contextmanager
def _cancelling(client: VideoClient, waiting: deque[Video], note: Note) -> Iterator[None]:
    """Cancel what waits or runs when the block ends without it."""
    try:
        yield
    except KeyboardInterrupt as stop:
        cancelled = _cancel(client, waiting, note)
        raise KeyboardInterrupt(f"interrupted: {cancelled}; finished clips are kept") from stop
    finally:
        _cancel(client, waiting, note)


def _cancel(client: VideoClient, waiting: deque[Video], note: Note) -> str:
    cancelled = []
    while waiting:
        video = waiting.pop()  # the newest first, so that the device begins none of them
        try:
            client.cancel(video.id)
            cancelled.append(video.id)
        except ServerError as error:
            note(f"{video.id} may continue: it could not be cancelled: {error}")
    return f"cancelled {', '.join(cancelled)}" if cancelled else "nothing was cancelled"


def _completed(video: Video, server: str) -> Video:
    """The video, whose clip can be fetched."""
    if video.status == "completed":
        return video
    if video.error is not None:
        raise ServerError(f"{server}: {video.id} failed: {video.error.message} ({video.error.code})")
    reasons = {"cancelled": "was cancelled there", "expired": "is too old: its clip was removed"}
    raise ServerError(f"{server}: {video.id} {reasons.get(video.status, f'is {video.status}')}; ask again")


def _written(client: VideoClient, request: RemoteRequest, video: Video) -> ClipFiles:
    """The files of a video, in the formats that were asked for."""
    from orchestration.media import ClipFiles, gif_delay_ms

    rate = 1000 / gif_delay_ms(video.fps)
    file = request.file
    if file is not None:
        if file.suffix.lower() == ".gif":
            _write(file, client.fetch(video, "gif"))
            return ClipFiles(None, file, None, rate)
        _write(file, client.fetch(video, "mp4"))
        return ClipFiles(file, None, None, rate)
    mp4, gif = client.fetch(video, "mp4"), client.fetch(video, "gif")
    stem = _stem(request, video)
    stem = stem.with_name(f"{stem.name}-{video.seed}")
    written = [_named(stem, ".mp4"), _named(stem, ".gif")]
    if any(_differs(path, content) for path, content in zip(written, (mp4, gif), strict=True)):
        # Made by other hardware, or in another batch: both are kept.
        assert video.content is not None
        stem = stem.with_name(f"{stem.name}-{video.content.sha256[:_DIGEST_DIGITS]}")
        written = [_named(stem, ".mp4"), _named(stem, ".gif")]
    for path, content in zip(written, (mp4, gif), strict=True):
        _write(path, content)
    return ClipFiles(written[0], written[1], None, rate)


def _stem(request: RemoteRequest, video: Video) -> Path:
    """Path of a clip without seed and suffix: other settings, pictures or models have other names."""
    options = request.options
    # Names of clips that DDIM made are those from before there were others.
    solver = {} if video.solver in (None, "ddim") else {"solver": video.solver}
    # Names of clips without a motion are those from before it could be asked for.
    motion = {} if video.motion is None else {"motion": video.motion}
    made_from = {
        "bundle": None if video.bundle is None else video.bundle.id,
        "pictures": [sha256(path) for path in (options.image, options.last) if path is not None],
        "settings": {
            "steps": video.num_inference_steps,
            "eta": video.eta,
            "text_guidance": video.guidance_scale,
            "image_guidance": video.image_guidance_scale,
            "fps": video.conditioning_fps,
            **solver,
            **motion,
        },
        "mode": video.mode,
        "frames": video.num_frames,
        "playback": video.fps,
    }
    return clip_stem(request.folder, options.image, options.prompt, made_from)


def _named(stem: Path, ending: str) -> Path:
    return stem.with_name(stem.name + ending)


def _differs(path: Path, content: bytes) -> bool:
    return path.exists() and path.read_bytes() != content


def _write(path: Path, content: bytes) -> None:
    with atomic_file(path) as partial:
        partial.write_bytes(content)
