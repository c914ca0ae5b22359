"""The ground floor: errors, files, JSON, storage, URLs, locks, journals, retries and configuration.

Nothing here knows of the domain, and everything else may import it.
"""
