"""What the demo's steps leave behind, made quickly: bundles, journals, evaluations, animations, datasets."""

import json
from pathlib import Path

import numpy as np

from models.bundle import Bundle, open_bundle
from orchestration.demo import animated_pictures, footage, promoting
from orchestration.demo.collection import HELD_OUT_SEED, Amounts, Collection, write_collection
from orchestration.demo.outputs import STEP_TITLES, DemoOutputs
from orchestration.demo.step_timings import StepTimings
from orchestration.media import film_strip, write_clip, write_png
from orchestration.registry import GateRecord, Ledger, accept
from orchestration.tracking.state import MirrorState
from orchestration.workflows.gate import Gatekeeper
from orchestration.workflows.gate_records import GateOptions
from orchestration.workspace import Workspace
from pipelines.evaluate.clips import ClipPair, RealClip
from tests.support.evaluations import write_report
from tests.support.small_stages import make_bundle

SIDE, FRAMES = 64, 8


def make_outputs(root: Path, clips: int = 8, wrong: int = 1, films: bool = True) -> DemoOutputs:
    """A finished demo in ``root``; ``wrong`` of its generated clips move the other way."""
    out, ledger = root / "demo", Ledger(root)
    runs, parent = {}, None
    for stage in (1, 2, 3):
        run = root / f"stage-{stage}"
        parent = make_bundle(run / "bundle", stage=stage, parent=parent, seed=stage)
        (run / "journal.jsonl").write_text("".join(_journal(stage)))
        MirrorState(target=f"sqlite:///{root}/mlflow.db", run_id=f"{stage}" * 32).save(
            run / "tracking" / "mlflow-00000000.json"
        )
        accept(ledger, open_bundle(run / "bundle"))
        runs[stage] = run
    ids = {stage: open_bundle(runs[stage] / "bundle").id for stage in runs}
    evaluations = {stage: _evaluation(out, stage, ids[stage], clips, wrong) for stage in (2, 3)}
    datasets = {"training": _dataset(out / "data", 231, 3), "held-out": _dataset(out / "held-out", clips, 0)}
    _animations(out, films)
    _footage_table(out, evaluations[3])
    for name in STEP_TITLES:
        with StepTimings(out).timing(name):
            pass
    _promotion(out, open_bundle(runs[3] / "bundle"), evaluations[3], ledger)
    return DemoOutputs(
        out=out, datasets=datasets, runs=runs, evaluations=evaluations, ledger=ledger, root=root
    )


def _promotion(out: Path, bundle: Bundle, evaluation: Path, ledger: Ledger) -> None:
    (out / "gate.yaml").write_text("name: small\nfloors: {clips: 8}\nmargins: {direction: 0.2}\n")
    options = GateOptions(report=evaluation / "report.json", gate=out / "gate.yaml")
    keeper = Gatekeeper(bundle.id, bundle.info.preset, options, Workspace(ledger.base))
    gate = GateRecord.of(keeper.judge(None).decision)
    made = promoting.Promotion(bundle_id=bundle.id, gate=gate)
    (out / promoting.RECORD).write_text(made.model_dump_json())


def _journal(stage: int):
    yield json.dumps({"time": 0.0, "event": "start", "step": 0, "workers": 2}) + "\n"
    rng = np.random.default_rng(stage)
    for step in range(5, 155, 5):
        loss = 0.1 + 0.4 * np.exp(-step / 40) + rng.normal(0, 0.02)
        yield (
            json.dumps({"time": 1.0, "event": "metrics", "step": step, "metrics": {"train/loss": loss}})
            + "\n"
        )


def _dataset(folder: Path, rows: int, rejected: int) -> Path:
    folder.mkdir(parents=True)
    counts = {"rows": rows, "samples": rows - rejected, "rejected_rows": rejected}
    reasons = {"missing_file": 1, "corrupt": 2} if rejected else {}
    config = {"source_sha256": "f" * 64}
    info = {"digest": "e" * 64, "counts": {**counts, "reasons": reasons}, "config": config}
    (folder / "dataset.json").write_text(json.dumps(info))
    return folder


def _evaluation(out: Path, stage: int, bundle_id: str, clips: int, wrong: int) -> Path:
    folder = out / "evaluation" / f"stage-{stage}-abcdef01"
    rng = np.random.default_rng(stage)
    pairs: list[ClipPair] = []
    for index in footage.balanced(HELD_OUT_SEED, clips // 4):
        scene = footage.draw_scene(HELD_OUT_SEED, index)
        pixels = footage.render(scene, frames=FRAMES, size=SIDE)
        noisy = np.clip(pixels + rng.normal(0, 40 / stage**2, pixels.shape), 0, 255).astype(np.uint8)
        if len(pairs) < wrong:
            noisy = noisy[::-1]
        pairs.append(ClipPair(RealClip(f"clip-{index}", scene.caption, 6.0, pixels, f"clip-{index}"), noisy))
    write_report(folder, pairs, {"stage": stage, "digest": bundle_id})
    return folder


def _footage_table(out: Path, evaluation: Path) -> None:
    """The table of held-out footage: the last clip is of a film."""
    rows = json.loads((evaluation / "report.json").read_text())["clips"]
    folders = ["rendered_000000"] * (len(rows) - 1) + ["films"]
    lines = [f"{row['source']},{folder}" for row, folder in zip(rows, folders, strict=True)]
    table = Collection(out / "footage").held_out
    table.write_text("\n".join(["videoid,page_dir", *lines]) + "\n")


def _animations(out: Path, films: bool) -> None:
    clips = []
    collection = Collection(out / "footage")
    write_collection(
        collection,
        Amounts(rendered=1, held_out_each=1, films=films, photographs=films),
        lambda done, total: None,
    )
    for chosen in animated_pictures.choose_pictures(collection):
        picture = out / "images" / f"{chosen.name}.png"
        write_png(chosen.picture, picture)
        for prompt in chosen.prompts:
            frames = np.stack([np.roll(chosen.picture[::2, ::2], 3 * n, axis=1) for n in range(FRAMES)])
            stem = out / animated_pictures.FOLDER / f"{chosen.name}-{prompt.split()[-1]}"
            files = write_clip(frames, stem, 6)
            write_png(film_strip(frames), stem.with_suffix(".png"))
            expected = prompt.split()[-1] if len(chosen.prompts) > 1 else None
            clips.append(
                animated_pictures.PictureAnimation(
                    picture=str(picture.relative_to(out)),
                    prompt=prompt,
                    mp4=str(files.mp4.relative_to(out)),
                    gif=str(files.gif.relative_to(out)),
                    strip=str(stem.with_suffix(".png").relative_to(out)),
                    expected=expected,
                    found="right" if expected else None,
                )
            )
    record = animated_pictures.Animations(identity="0" * 64, clips=clips)
    (out / animated_pictures.FOLDER / animated_pictures.RECORD).write_text(record.model_dump_json())


def champion_id(outputs: DemoOutputs) -> str:
    return open_bundle(outputs.runs[3] / "bundle").id
