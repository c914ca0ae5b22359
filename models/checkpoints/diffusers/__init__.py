"""A bundle's parts as folders of diffusers and transformers, for those parts that they have a class for.

Autoencoder, text and image encoder with their preprocessing, and the noise schedule. No class of theirs is
our network: its weights are written under their public names, and there is no ``model_index.json``, which
would promise a pipeline.
"""

from models.checkpoints.diffusers.exporting import DiffusersExport, check_diffusers, export_diffusers

__all__ = ["DiffusersExport", "check_diffusers", "export_diffusers"]
