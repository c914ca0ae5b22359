"""Journal (truth) → MLflow and W&B (mirrors that may fail without anybody noticing but the log)."""

from orchestration.tracking.mirror import Mirror, SyncReport, backends_for, behind_remark, sync

__all__ = ["Mirror", "SyncReport", "backends_for", "behind_remark", "sync"]
