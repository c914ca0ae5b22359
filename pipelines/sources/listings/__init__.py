"""Folders and archives of videos without a table → rows, by the names and sidecars in them."""

from pipelines.sources.listings.listing import Listing, ListingReader
from pipelines.sources.listings.settings import FolderSettings

__all__ = ["FolderSettings", "Listing", "ListingReader"]
