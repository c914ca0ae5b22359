"""The network: pure torch modules and maths; no I/O but bundle and checkpoint files."""

from pathlib import Path

# The bundle that ships: a tiny text-to-video network, which preset tiny starts from.
PRIOR = Path(__file__).resolve().parent / "prior"
PRIOR_WEIGHTS = PRIOR / "model.safetensors"
