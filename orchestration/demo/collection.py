"""The demo's footage as two WebVid tables over one folder of videos: one to train on, one held out."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from core.canonical_json import digest_of
from core.files import remove_partials, write_text
from orchestration.demo import films, footage

TRAINING_SEED, HELD_OUT_SEED = 11, 12  # the prior saw seed 1
RECIPE = "recipe.json"

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Amounts:
    """How much footage: rendered clips to train on, and held-out ones for each of the four directions."""

    rendered: int = 200
    held_out_each: int = 12
    films: bool = True

    def fingerprint(self) -> str:
        """Digest of everything that decides the footage."""
        scenes = [asdict(footage.draw_scene(TRAINING_SEED, index)) for index in range(4)]
        windows = [asdict(window) for window in (*films.TRAINING, *films.HELD_OUT)]
        return digest_of([asdict(self), TRAINING_SEED, HELD_OUT_SEED, scenes, windows, footage.SIZE])


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
    windows = (films.TRAINING, films.HELD_OUT) if amounts.films else ((), ())
    held_out_scenes = footage.balanced(HELD_OUT_SEED, amounts.held_out_each)
    parts = [amounts.rendered, len(windows[0]), len(held_out_scenes), len(windows[1])]

    def from_part(number: int) -> Progress:
        return lambda done, _: progress(sum(parts[:number]) + done, sum(parts))

    root = collection.root
    for page in collection.videos.glob("*"):
        remove_partials(page)
    training = footage.write_rendered(root, range(amounts.rendered), TRAINING_SEED, from_part(0))
    training += films.write_films(root, windows[0], from_part(1))
    training += _broken_rows(root, training[0])
    held_out_rows = footage.write_rendered(root, held_out_scenes, HELD_OUT_SEED, from_part(2))
    held_out_rows += films.write_films(root, windows[1], from_part(3))
    footage.write_csv(collection.training, training)
    footage.write_csv(collection.held_out, held_out_rows)
    write_text(root / RECIPE, json.dumps({"fingerprint": amounts.fingerprint(), **asdict(amounts)}))


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
