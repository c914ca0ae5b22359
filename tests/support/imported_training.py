"""Imports what training processes need, before they are forked."""

import gc
import os

os.environ["DS_ACCELERATOR"] = "cpu"  # read by DeepSpeed as it is imported

import deepspeed
import deepspeed.runtime.zero.muon.muon_optimizer  # and with it torch's compiler
import open_clip
import s3fs

import tests.support.saving_jobs
import tests.support.training_jobs

__all__ = ["deepspeed", "open_clip", "s3fs", "tests"]

gc.freeze()  # DeepSpeed looks for garbage again and again: not among all this
