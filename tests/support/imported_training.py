"""Imports what training processes need, before they are forked."""

import os

os.environ["DS_ACCELERATOR"] = "cpu"  # read by DeepSpeed as it is imported

import deepspeed
import s3fs

import tests.support.saving_jobs
import tests.support.training_jobs

__all__ = ["deepspeed", "s3fs", "tests"]
