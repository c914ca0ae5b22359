"""VBench-I2V: clips in its folder layout, and its results."""
