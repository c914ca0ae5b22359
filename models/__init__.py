"""The network: pure torch modules and maths; no I/O but bundle and checkpoint files."""
