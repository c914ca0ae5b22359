"""Where the tests find the repository and its recorded figures."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "golden"
PUBLIC_KEYS = GOLDEN / "public_keys"
