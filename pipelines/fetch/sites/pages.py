"""Addresses of pages that have a video and are none."""

import re
from urllib.parse import urlsplit

_SITES = re.compile(
    r"(^|\.)(youtube\.com|youtu\.be|vimeo\.com|dailymotion\.com|bilibili\.com|tiktok\.com|twitter\.com|x\.com"
    r"|instagram\.com|facebook\.com|twitch\.tv|rumble\.com)$"
)


def is_page_of_site(location: str) -> bool:
    """Whether a web address is on a well-known site whose addresses are pages with a player."""
    return _SITES.search((urlsplit(location).hostname or "").lower()) is not None
