"""The bundle: the unit in which stages, imports and exports pass a model on.

A folder with ``model.safetensors`` (public key names), ``README.md`` (model card) and ``bundle.json``
(architecture, provenance, sha256 of every other file). Its id is the sha256 of ``bundle.json``. Where it is
signed, ``signature.json`` is beside them and no part of it (see :mod:`orchestration.signatures`).

Training stores the network alone. An imported bundle has all parts of the published file, autoencoder and
encoders too.

Torch is imported only where tensors are read or written: describing and verifying bundles takes milliseconds.
"""

from models.bundle.frozen_parts import with_paths
from models.bundle.hub_head import LIBRARY, card_head, card_tags, pipeline_tag
from models.bundle.info import (
    CARD,
    INFO,
    SIGNATURE,
    WEIGHTS,
    BundleExtra,
    BundleInfo,
    BundleOrigin,
    ContinuedRun,
    DatasetSummary,
    ImportedFile,
    TrainedCaptions,
    TrainedOn,
)
from models.bundle.reading import Bundle, ChangedFileError, open_bundle, read_info
from models.bundle.writing import write_bundle

__all__ = [
    "CARD",
    "INFO",
    "LIBRARY",
    "SIGNATURE",
    "WEIGHTS",
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
    "open_bundle",
    "pipeline_tag",
    "read_info",
    "with_paths",
    "write_bundle",
]
