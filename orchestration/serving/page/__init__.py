"""The page of the service: HTML, style and scripts, which browsers run as they are, on the public API."""
