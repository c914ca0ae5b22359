"""The demo's footage as two WebVid tables over one folder of videos: one to train on, one held out.

A table's ``page_dir`` names the kind of a clip: ``rendered_*``, ``photographs``, ``films`` or ``broken``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path

from core.canonical_json import digest_of
from core.files import remove_partials, write_text
from orchestration.demo import films, footage, photographs
from orchestration.demo.footage import ClipFile

TRAINING_SEED, HELD_OUT_SEED = 11, 12  # the prior saw seed 1
RECIPE = "recipe.json"
_THREADS = 2

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Amounts:
    """How much footage: rendered clips to train on, and held-out ones for each of the four directions.

    ``films``, ``photographs``: whether their windows are included.
    """

    rendered: int = 160
    held_out_each: int = 8
    films: bool = True
    photographs: bool = True

    def fingerprint(self) -> str:
        """Digest of everything that decides the footage."""
        scenes = [asdict(footage.draw_scene(TRAINING_SEED, index)) for index in range(4)]
        windows = [asdict(window) for window in (*films.TRAINING, *films.HELD_OUT)]
        moves = [
            (window.videoid, window.caption, *(asdict(framing) for framing in window.framings))
            for window in (*photographs.TRAINING, *photographs.HELD_OUT)
        ]
        amounts, seeds = asdict(self), [TRAINING_SEED, HELD_OUT_SEED]
        return digest_of([amounts, seeds, scenes, windows, moves, footage.SIZE])

    @property
    def training(self) -> list[ClipFile]:
        """The clips to train on."""
        clips = footage.rendered_clips(range(self.rendered), TRAINING_SEED)
        clips += photographs.clips(photographs.TRAINING) if self.photographs else []
        return clips + (films.clips(films.TRAINING) if self.films else [])

    @property
    def held_out(self) -> list[ClipFile]:
        """The held-out clips."""
        clips = footage.rendered_clips(footage.balanced(HELD_OUT_SEED, self.held_out_each), HELD_OUT_SEED)
        clips += photographs.clips(photographs.HELD_OUT) if self.photographs else []
        return clips + (films.clips(films.HELD_OUT) if self.films else [])


@dataclass(frozen=True)
class Collection:
    """The footage on disk."""

    root: Path

    @property
    def videos(self) -> Path:
        return self.root / "videos"

    @property
    def training(self) -> Path:
        return self.root / "training.csv"

    @property
    def held_out(self) -> Path:
        return self.root / "held-out.csv"

    def fingerprint(self) -> str | None:
        """Fingerprint of the amounts that it was completed with; None if incomplete."""
        path = self.root / RECIPE
        return json.loads(path.read_text())["fingerprint"] if path.exists() else None


def write_collection(collection: Collection, amounts: Amounts, progress: Progress) -> None:
    """Render and cut missing videos, then write the tables and, last, the recipe, which marks completion."""
    root = collection.root
    for page in collection.videos.glob("*"):
        remove_partials(page)
    training, held_out = amounts.training, amounts.held_out
    _write_clips(root, [*training, *held_out], progress)
    footage.write_csv(
        collection.training, [*(clip.row for clip in training), *_broken_rows(root, training[0].row)]
    )
    footage.write_csv(collection.held_out, [clip.row for clip in held_out])
    write_text(root / RECIPE, json.dumps({"fingerprint": amounts.fingerprint(), **asdict(amounts)}))


def _write_clips(root: Path, clips: Sequence[ClipFile], progress: Progress) -> None:
    """In two threads, which is enough: drawing, scaling and encoding release the interpreter's lock."""
    by_source: dict[str, list[ClipFile]] = {}
    for clip in clips:
        by_source.setdefault(clip.source, []).append(clip)
    with ThreadPoolExecutor(_THREADS) as threads:
        # The sources with many clips first, so that both threads finish at about the same time.
        groups = sorted(by_source.values(), key=len, reverse=True)
        writes = {threads.submit(_write_group, root, group): len(group) for group in groups}
        done = 0
        try:
            for write in as_completed(writes):
                write.result()
                done += writes[write]
                progress(done, len(clips))
        except BaseException:
            threads.shutdown(cancel_futures=True)
            raise


def _write_group(root: Path, clips: Sequence[ClipFile]) -> None:
    for clip in clips:
        clip.write(root)


def _broken_rows(root: Path, whole: dict[str, str]) -> list[dict[str, str]]:
    """Three rows as in tables from the web: a dead link, half a file, an HTML page instead of a video."""
    page = "broken"
    folder = root / "videos" / page
    folder.mkdir(parents=True, exist_ok=True)
    content = (root / "videos" / whole["page_dir"] / f"{whole['videoid']}.mp4").read_bytes()
    (folder / "half.mp4").write_bytes(content[: len(content) // 2])
    (folder / "page.mp4").write_text("<!doctype html><title>404</title>\n")
    return [
        {"videoid": name, "contentUrl": "", "duration": "PT00H00M02S", "page_dir": page, "name": caption}
        for name, caption in (
            ("gone", "a clip whose file is missing"),
            ("half", "a clip of which half arrived"),
            ("page", "an error page saved as a clip"),
        )
    ]
