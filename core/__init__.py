"""The ground floor: errors, files, JSON, storage, URLs, locks, journals, retries, configuration and H.264.

Nothing here knows of the domain, and everything else may import it.
"""
