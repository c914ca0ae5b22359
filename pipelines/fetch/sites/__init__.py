"""Videos on pages of sites, fetched by yt-dlp in a process of its own."""

from pipelines.fetch.sites.pages import is_page_of_site
from pipelines.fetch.sites.site_reader import SiteReader, missing_reader

__all__ = ["SiteReader", "is_page_of_site", "missing_reader"]
