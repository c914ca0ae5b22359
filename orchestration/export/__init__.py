"""Export to serving: a bundle copied to a folder or an object store, verified there, then made visible."""
