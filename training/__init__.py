"""Training: one fixed loop; stages are data."""
