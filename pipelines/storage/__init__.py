"""Where files lie: folders on disks and in object stores, written atomically, claimed, cached on nodes."""

from pipelines.storage.canonical import canonical_json, digest_of
from pipelines.storage.folder import Folder

__all__ = ["Folder", "canonical_json", "digest_of"]
