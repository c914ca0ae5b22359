"""The processes of a run: how each finds the others, agrees with them, and reports to what has started it."""
