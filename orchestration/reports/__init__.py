"""Pages and pictures about datasets and batches."""
