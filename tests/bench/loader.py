"""The loader against the bare decoder on the same members, and against reading the original files.

Processor seconds a sample, of one thread; samples a second and core are their inverse.
"""

import csv
import io
import itertools
import random
import tarfile
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import decord
import numpy as np
import torch
from PIL import Image
from torch.utils.data import Dataset as TorchDataset
from torchvision.transforms import v2

from core.errors import AnimaticError
from core.storage import Folder
from models.architecture import CodecConfig
from pipelines.dataset import Dataset
from pipelines.dataset.cache_config import CacheConfig
from pipelines.dataset.commit import commit_dataset
from pipelines.dataset.images import index_images
from pipelines.dataset.latents import Latents
from pipelines.encode import EncodeConfig, encode
from pipelines.ingest import IngestConfig
from pipelines.ingest.unit import make_unit
from pipelines.loader import ClipLoader, ClipSampling, WeightedDataset
from pipelines.sources import SourceTable
from tests.bench.decoders import beside_python, decode_with_decord, members
from tests.bench.footage import write_clips
from tests.bench.timing import Result, Row
from training.config import resolve

BATCH, PICTURE_BATCH = 8, 64
SIZES = {(256, 256): 256, (320, 512): 320}  # height and width to the stored short side
STRIDES = (1, 6)
PICTURES = 1000
STEP_S = 0.2
SETTLED_S = 10.0


def loader(clips: int, rounds: int) -> list[Result]:
    """Clips at two sizes, images, latents, waiting and decoders; ``rounds`` batches of 8 each."""
    with tempfile.TemporaryDirectory(prefix="animatic-bench-") as scratch:
        folder = Path(scratch)
        originals = write_clips(folder, 2 * clips)[::2]  # those of 596x336
        made = {short: _ingested(folder, originals, short) for short in SIZES.values()}
        bench = _Bench(folder, rounds)
        small = made[256]
        results = [bench.clips(made[short], size, originals) for size, short in SIZES.items()]
        results += [bench.images(small), bench.latents(small), bench.waiting(small)]
        return [*results, beside_python(small)]


@dataclass(frozen=True)
class _Bench:
    folder: Path
    rounds: int

    def clips(self, dataset: Dataset, size: tuple[int, int], originals: list[Path]) -> Result:
        sampling = ClipSampling(frames=16, height=size[0], width=size[1], stride=STRIDES)
        decoded = members(dataset, sampling, "mp4")
        published = _Published(originals, size)
        turns = itertools.cycle(range(len(published)))
        variants = {
            "decoder alone, same members": lambda: decode_with_decord(*next(decoded)),
            "loader": self._loaded(dataset, sampling),
            "PyTorch Dataset, original files": lambda: published[next(turns)],
        }
        return self._compare(f"loader-{size[1]}x{size[0]}x16", "16 frames, stride 1 to 6", variants)

    def images(self, dataset: Dataset) -> Result:
        """Stage 1, from a tar of as many JPEGs as a small shard of img2dataset's holds."""
        sampling = ClipSampling(frames=16, height=256, width=256, images_only=True)
        pictures = _picture_tar(self.folder / "images", dataset)
        stored = members(pictures, sampling, "jpg")
        variants = {
            "decoder alone, same members": lambda: _open(next(stored)[0]),
            "loader": self._loaded(pictures, sampling, batch=PICTURE_BATCH),
        }
        return self._compare("loader-images", "one stored JPEG to 256x256", variants, PICTURE_BATCH)

    def latents(self, dataset: Dataset) -> Result:
        """Of the codec that costs nothing, at the size that a Stable Diffusion VAE's would have."""
        sampling = ClipSampling(frames=16, height=256, width=256, stride=STRIDES)
        codec = CodecConfig(kind="dct", patch=8, luma=2, chroma=1)
        output = str(self.folder / "latents")
        encode(
            EncodeConfig(
                dataset=dataset.url,
                output=output,
                height=256,
                width=256,
                codec=codec,
                encoders=resolve(3, "tiny").model.encoders,
                workers=0,
            )
        )
        latents = Latents.open(output, dataset)
        one = sampling.model_copy(update={"frames": 1, "stride": (1, 1)})
        decoded = members(dataset, one, "mp4")
        variants = {
            "decoder alone, the one frame for CLIP": lambda: decode_with_decord(*next(decoded)),
            "loader": self._loaded(WeightedDataset(dataset, latents=latents), sampling),
        }
        return self._compare("loader-latents", "latents of 16 frames, and one frame", variants)

    def waiting(self, dataset: Dataset) -> Result:
        """Two threads decode while a device computes steps of 8 clips; what is not there is waited for."""
        sampling = ClipSampling(frames=16, height=256, width=256, stride=STRIDES)
        step = self._loaded(dataset, sampling, threads=2)
        waited = []
        for number in range(-3, 4 * self.rounds):
            start = time.perf_counter()
            step()
            if number >= 0:
                waited.append(time.perf_counter() - start)
            time.sleep(STEP_S)
        mean = float(np.mean(waited))
        rows = [Row("computing", STEP_S, 1.0), Row("waiting for data", mean, STEP_S / mean)]
        return Result("loader-wait", "a step of 8 clips of 16x256x256, two threads", "wall seconds", rows)

    def _loaded(
        self, source: Dataset | WeightedDataset, sampling: ClipSampling, batch: int = BATCH, **options: Any
    ) -> Callable[[], object]:
        cache = CacheConfig(folder=str(self.folder / "cache"))
        datasets = source if isinstance(source, Dataset) else [source]
        loader = ClipLoader(datasets, sampling, seed=0, global_batch=batch, cache=cache, **options)
        batches = iter(loader)
        return lambda: next(batches)

    def _compare(
        self, name: str, title: str, variants: dict[str, Callable[[], object]], batch: int = BATCH
    ) -> Result:
        """A batch of each variant in turn; the first rounds start threads and open files."""
        spent: dict[str, list[float]] = {variant: [] for variant in variants}
        for number in range(-3, self.rounds):
            for variant, work in variants.items():
                start = time.process_time()
                for _ in range(1 if variant == "loader" else batch):
                    work()
                if variant == "loader":
                    _settle()
                if number >= 0:
                    spent[variant].append((time.process_time() - start) / batch)
        means = {variant: float(np.mean(seconds)) for variant, seconds in spent.items()}
        first = next(iter(means.values()))
        rows = [Row(variant, mean, first / mean) for variant, mean in means.items()]
        return Result(name, f"{title}, each sample", "processor seconds", rows)


def _settle() -> None:
    """Wait until the loader's threads have done what they were given: it shall not run into other turns."""
    quiet, until = 0, time.monotonic() + SETTLED_S
    while quiet < 3:
        before = time.process_time()
        time.sleep(0.05)
        quiet = quiet + 1 if time.process_time() - before < 0.002 else 0
        if time.monotonic() > until:
            raise AnimaticError("the loader's threads do not come to rest: the machine is too busy")


def _open(jpg: bytes) -> object:
    return np.asarray(Image.open(io.BytesIO(jpg)).convert("RGB"))


class _Published(TorchDataset[torch.Tensor]):
    """Samples as the published training code draws them from the collection's own files."""

    def __init__(self, paths: list[Path], size: tuple[int, int]) -> None:
        self._paths, self._draw = paths, random.Random(0)
        self._fit = v2.Compose([v2.Resize(min(size), antialias=True), v2.CenterCrop(size)])

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int) -> torch.Tensor:
        """Frames (3 16 h w) from -1 to 1."""
        reader = decord.VideoReader(str(self._paths[index]), ctx=decord.cpu(0), num_threads=1)
        stride = self._draw.randint(*STRIDES)
        start = self._draw.randint(0, len(reader) - 1 - stride * 15)
        frames = reader.get_batch([start + stride * n for n in range(16)]).asnumpy()
        pixels = torch.from_numpy(frames).permute(3, 0, 1, 2).float()
        return (self._fit(pixels.transpose(0, 1)).transpose(0, 1) / 255 - 0.5) * 2


def _picture_tar(folder: Path, dataset: Dataset) -> Dataset:
    """The stored images of a dataset over and over, as img2dataset writes them."""
    folder.mkdir()
    with tarfile.open(folder / "00000.tar", "w") as tar:
        for number in range(PICTURES):
            members = {"jpg": dataset.read_image(number % len(dataset), 0), "txt": b"a picture"}
            for kind, data in members.items():
                about = tarfile.TarInfo(f"{number:09d}.{kind}")
                about.size = len(data)
                tar.addfile(about, io.BytesIO(data))
    index_images(folder)
    return Dataset.open(folder)


def _ingested(folder: Path, paths: list[Path], short_side: int) -> Dataset:
    table = folder / f"table-{short_side}.csv"
    with table.open("w", newline="") as file:
        rows = [(path.stem, "a clip", ".") for path in paths]
        csv.writer(file).writerows([("videoid", "name", "page_dir"), *rows])
    output = folder / f"data-{short_side}"
    config = IngestConfig(source=str(table), videos=str(folder), output=str(output), short_side=short_side)
    make_unit(config, 0, list(SourceTable(config.source).rows()), {})
    commit_dataset(Folder(output), {"bench": short_side}, units=1, rows=len(paths))
    return Dataset.open(output)
