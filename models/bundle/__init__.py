"""The bundle: the unit in which stages, imports and exports pass a model on.

A folder with ``model.safetensors`` (public key names), ``README.md`` (model card) and ``bundle.json``
(architecture, provenance, sha256 of every other file). Its id is the sha256 of ``bundle.json``. Where it is
signed, ``signature.json`` is beside them and no part of it (see :mod:`orchestration.signatures`).

The bundle of an adapter names another bundle as its base, and has ``adapter.safetensors``, what it changes of
that one's weights, in place of the first file.

Training stores the network alone. An imported bundle has all parts of the published file, autoencoder and
encoders too.

Torch is imported only where tensors are read or written: describing and verifying bundles takes milliseconds.
"""

from models.bundle.frozen_parts import with_paths
from models.bundle.hub_head import LIBRARY, card_head, card_tags, pipeline_tag
from models.bundle.info import (
    ADAPTER,
    CARD,
    INFO,
    SIGNATURE,
    WEIGHTS,
    AdapterInfo,
    BundleExtra,
    BundleInfo,
    BundleOrigin,
    ContinuedRun,
    DatasetSummary,
    ImportedFile,
    TrainedCaptions,
    TrainedOn,
)
from models.bundle.merging import merge_adapter
from models.bundle.reading import Bundle, ChangedFileError, open_bundle, read_info
from models.bundle.writing import check_new, write_bundle

__all__ = [
    "ADAPTER",
    "CARD",
    "INFO",
    "LIBRARY",
    "SIGNATURE",
    "WEIGHTS",
    "AdapterInfo",
    "Bundle",
    "BundleExtra",
    "BundleInfo",
    "BundleOrigin",
    "ChangedFileError",
    "ContinuedRun",
    "DatasetSummary",
    "ImportedFile",
    "TrainedCaptions",
    "TrainedOn",
    "card_head",
    "card_tags",
    "check_new",
    "merge_adapter",
    "open_bundle",
    "pipeline_tag",
    "read_info",
    "with_paths",
    "write_bundle",
]
