"""Settings for every test: the same arithmetic on every machine, no telemetry, no network."""

import os

# Before torch is imported: on a busy two-core machine, thread pools of small tensors wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("WANDB_MODE", "offline")
