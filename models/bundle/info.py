"""The description of a bundle: the content of ``bundle.json``."""

from typing import NotRequired

from pydantic import BaseModel, ConfigDict, Field, JsonValue, with_config
from typing_extensions import TypedDict

from models.architecture import Architecture
from models.diffusion.settings import SamplingSettings
from models.network.adapter_settings import AdapterSettings

FORMAT = 1
# The files of a bundle: tensors, this description, the model card.
WEIGHTS, INFO, CARD = "model.safetensors", "bundle.json", "README.md"
# In place of the first one in the bundle of an adapter.
ADAPTER = "adapter.safetensors"
# Beside them where the bundle is signed; it covers the others, so that their digests do not include it.
SIGNATURE = "signature.json"


class ImportedFile(TypedDict):
    """The published checkpoint that a bundle was imported from."""

    name: str
    format: str
    sha256: str


class ContinuedRun(TypedDict):
    """The checkpoint of another run that a run continued with other settings of the optimizer.

    ``checkpoint`` is the digest of its manifest, ``config_hash`` that of the other run.
    """

    checkpoint: str
    step: int
    config_hash: str


class TrainedCaptions(TypedDict):
    """Captions that are not just the first one of each clip in the source table.

    ``setting`` chooses among them, ``columns`` are the digests of the columns of captions that it names.
    """

    setting: dict[str, JsonValue]
    columns: dict[str, str]


class DatasetSummary(TypedDict):
    """What a model's card says of a dataset; texts are empty, and ``hours`` None, where nothing is known.

    ``licence`` is stated for the dataset, ``row_licences`` are the most frequent of its rows; ``source``: as
    stated, or the most frequent hosts; ``filters``: settings that decided which clips it has; ``link``: of
    its terms of use.
    """

    digest: str
    samples: int
    hours: float | None
    licence: str
    row_licences: list[str]
    source: str
    filters: str
    link: str


class TrainedOn(TypedDict):
    """One of the datasets that a run trains on, so that the digest of its data can be computed again.

    ``digest`` and ``latents`` are those of the dataset and of its latents, if these were read in place of
    pixels; ``weights`` are [step from which it holds, weight]; ``selection`` are settings that leave clips
    out, ``scores`` the digest of the similarity of image and caption and ``columns`` those of other columns
    beside the dataset, by name, that they use. ``captions`` is missing where each clip has the first
    caption of its table; ``motion`` is the digest of the clips' subject motion, where it is a condition.
    """

    digest: str
    latents: str | None
    weights: list[tuple[int, float]]
    selection: dict[str, bool | float | dict[str, float] | None]
    scores: str | None
    columns: NotRequired[dict[str, str]]
    captions: NotRequired[TrainedCaptions]
    motion: NotRequired[str]


# Keys that a newer version adds are kept: they do not change the meaning of the others.
@with_config(ConfigDict(extra="allow"))
class BundleExtra(TypedDict, total=False):
    """The origin of a bundle, in addition to :class:`BundleInfo`'s own fields.

    Trained bundles have ``seed``, ``steps`` (of the optimizer) and ``ema`` (the decay, if averaged);
    ``base`` is the id of a second source bundle besides the parent, ``run`` of the trained bundle that the
    shipped prior is a copy of, ``calibrated`` of the bundle that this is a copy of with calibrated motion,
    ``merged`` of the adapter whose sum with its base this is;
    ``continued`` describes the checkpoint of another run that theirs continued;
    ``datasets`` what ``dataset_digest`` is computed from, where it is not the digest of one dataset.
    Imported bundles have the others: see :mod:`models.checkpoints`.
    """

    seed: int
    steps: int
    ema: float | None
    base: str
    run: str
    calibrated: str
    merged: str
    continued: ContinuedRun
    datasets: list[TrainedOn]

    variant: str
    container: str
    source: ImportedFile
    legacy_names: dict[str, str]
    left_out: dict[str, int]


class AdapterInfo(BaseModel):
    """What the bundle of an adapter is to be composed with.

    Attributes:
        base: id of the bundle whose weights the adapter changes.
        path: where that bundle was when the adapter was trained; None for the one that ships with the code.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    settings: AdapterSettings
    base: str
    path: str | None = None


class BundleOrigin(BaseModel):
    """What a bundle is and where it comes from.

    Attributes:
        preset: name of the preset that it was trained with, or whose size a published checkpoint has.
        config_hash: of the training run; "" for an imported checkpoint.
        dataset_digest: of the data that it was trained on; None where that is not known.
        parent: id of the bundle that training started from.
        sampling: settings that suit the model; None in bundles from before they were recorded.
        adapter: for a bundle that contains what an adapter changes of another bundle; None for whole weights.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    architecture: Architecture
    stage: int
    preset: str
    config_hash: str
    dataset_digest: str | None
    parent: str | None
    extra: BundleExtra = {}
    sampling: SamplingSettings | None = None
    # Not written for whole weights, so that their descriptions are those of earlier versions.
    adapter: AdapterInfo | None = Field(default=None, exclude_if=lambda adapter: adapter is None)


class BundleInfo(BundleOrigin):
    """Content of ``bundle.json``.

    Attributes:
        code_version: version, and commit where it is known: see :func:`core.code_version.code_version`.
        files: name -> sha256 of every other file.
    """

    format: int = FORMAT
    code_version: str
    files: dict[str, str]

    @property
    def weights_file(self) -> str:
        """Name of the file with the tensors."""
        return WEIGHTS if self.adapter is None else ADAPTER

    @property
    def sampling_defaults(self) -> SamplingSettings:
        """Settings to sample with unless the user gives others: the recorded ones, else general ones."""
        return SamplingSettings() if self.sampling is None else self.sampling
