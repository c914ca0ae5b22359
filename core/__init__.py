"""The ground floor: errors, files, storage, locks, configuration; it knows nothing of the domain."""
