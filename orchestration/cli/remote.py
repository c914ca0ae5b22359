"""`animatic animate --server`: the progress of videos on a service, and their clips."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from orchestration.cli.common import bundle_fields, err, print_json, print_warning, short

if TYPE_CHECKING:
    from orchestration.serving.schema import Video
    from orchestration.workflows.animate_remotely import RemoteOptions, RemoteResult
    from orchestration.workflows.sampling import SamplingOptions

# What this machine's bundles and files decide; on a service its operator does.
WITHOUT_EFFECT = (
    "preset", "codec", "encoders", "base", "require_signer", "guidance_interval", "guidance_every",
    "cache_every", "compilation",
)  # fmt: skip
REASON = "with --server, whose operator chooses what it serves"


def request_fields(
    model: str | None, sampling: SamplingOptions, *, loop: bool, frames: int | None, playback: float | None
) -> dict[str, object]:
    """The options of ``animate`` by field of a request; None where the service decides."""
    return {
        "model": model,
        "loop": loop or None,
        "num_frames": frames,
        "fps": playback,
        "num_inference_steps": sampling.steps,
        "guidance_scale": sampling.text_guidance,
        "image_guidance_scale": sampling.image_guidance,
        "eta": sampling.eta,
        "solver": sampling.solver,
        "conditioning_fps": sampling.fps,
        "motion": sampling.motion,
        "seed": sampling.seed,
    }


def animate_at_server(options: RemoteOptions, as_json: bool) -> RemoteResult:
    """Ask a service for clips, and display how far they are; ``as_json`` prints them."""
    from orchestration.serving.client import sends_key_openly
    from orchestration.workflows import animate_remotely as workflow
    from orchestration.workspace import Workspace

    request = workflow.prepare_remote(options, Workspace.current())
    if options.key is not None and sends_key_openly(request.url):
        print_warning("the API key is sent unencrypted: use an https:// URL outside of trusted networks")
    with _displaying(options.count) as on_state:
        result = workflow.animate_remotely(request, on_state, print_warning)
    bundles = {clip.video.bundle for clip in result.clips}
    if len(bundles) > 1:
        print_warning(f"the service exchanged its model meanwhile: {len(bundles)} versions made the clips")
    if as_json:
        print_json(_json(result))
    return result


def made_by(result: RemoteResult) -> str:
    """A line about what made the clips."""
    bundle = result.clips[0].video.bundle
    if bundle is None:
        return f"made by {result.server}"
    return f"bundle {short(bundle.id)} (stage {bundle.stage}, preset {bundle.preset}), at {result.server}"


def _json(result: RemoteResult) -> dict[str, object]:
    first = result.clips[0].video
    return {
        **bundle_fields("" if first.bundle is None else first.bundle.id, None),
        "manifest": None if first.bundle is None else first.bundle.manifest,
        "server": result.server,
        "sampling": {
            "steps": first.num_inference_steps,
            "eta": first.eta,
            "solver": first.solver,
            "text_guidance": first.guidance_scale,
            "image_guidance": first.image_guidance_scale,
            "fps": first.conditioning_fps,
            "motion": first.motion,
            "seed": first.seed,
        },
        "clips": [
            {
                "mp4": _text(clip.files.mp4),
                "gif": _text(clip.files.gif),
                "large": None,
                "gif_fps": clip.files.gif_fps,
                "video": clip.video.id,
                "seed": clip.video.seed,
                "bundle_id": None if clip.video.bundle is None else clip.video.bundle.id,
                "manifest": None if clip.video.bundle is None else clip.video.bundle.manifest,
                "sha256": None if clip.video.content is None else clip.video.content.sha256,
            }
            for clip in result.clips
        ],
    }


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


@contextmanager
def _displaying(count: int) -> Iterator[Callable[[int, Video], None]]:
    """A bar over the steps of all clips with the newest state, or a line for each new state."""
    from orchestration.monitoring.progress import progress_bar

    console = err()
    if not console.is_terminal:
        yield _Lines(count)
        return
    bar = progress_bar(console)
    task = bar.add_task("sampling steps", total=None, figures="")

    def update(number: int, video: Video) -> None:
        steps = video.steps or video.num_inference_steps
        done = steps if video.status == "completed" else video.step or 0
        total = None if steps is None else steps * count
        bar.update(task, completed=(steps or 0) * number + (done or 0), total=total, figures=_state(video))
        bar.start()

    try:
        yield update
    finally:
        if bar.live.is_started:
            bar.stop()


class _Lines:
    """Prints where a video waits, and every tenth of its steps."""

    def __init__(self, count: int) -> None:
        self._count, self._printed = count, ""

    def __call__(self, number: int, video: Video) -> None:
        tenth = None if video.status != "in_progress" else 10 * (video.step or 0) // max(1, video.steps or 1)
        state = f"{number} {video.status} {video.queue_position} {tenth}"
        if state != self._printed:
            clip = f"clip {number + 1} of {self._count}, " if self._count > 1 else ""
            err().print(f"{clip}{video.id}: {_state(video)}", soft_wrap=True)
            self._printed = state


def _state(video: Video) -> str:
    if video.status == "queued" and video.queue_position is not None:
        return f"queued, position {video.queue_position}"
    if video.status == "in_progress" and video.steps:
        left = "" if video.remaining_seconds is None else f", {video.remaining_seconds:.0f} s left"
        return f"step {video.step or 0} of {video.steps}{left}"
    return video.status.replace("_", " ")
