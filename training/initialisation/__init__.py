"""Where the initial weights of a stage come from."""
