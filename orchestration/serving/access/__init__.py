"""Who may use the service: API keys, of which digests are stored, and where it may listen without them."""

from orchestration.serving.access.access import Access, Caller
from orchestration.serving.access.key_file import Key, KeyFile, create_key, read_keys, revoke_key
from orchestration.serving.access.listening import check_listening, is_loopback

__all__ = [
    "Access",
    "Caller",
    "Key",
    "KeyFile",
    "check_listening",
    "create_key",
    "is_loopback",
    "read_keys",
    "revoke_key",
]
