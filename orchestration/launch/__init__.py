"""Starting training: Ray Train."""
