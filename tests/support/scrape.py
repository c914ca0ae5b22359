"""What Prometheus would read from a job."""

import urllib.request

from prometheus_client.parser import text_string_to_metric_families

Series = tuple[str, tuple[tuple[str, str], ...]]


def announced_port(text: str) -> int:
    """The port that a job has printed."""
    return int(text.split("metrics on port ")[1].split(",")[0])


def scrape(port: int) -> dict[Series, float]:
    """Values by name and labels."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as page:
        families = text_string_to_metric_families(page.read().decode())
    samples = [sample for family in families for sample in family.samples]
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for sample in samples
        if not sample.name.endswith("_created")
    }


def unlabelled(port: int) -> dict[str, float]:
    """Values of the metrics without labels, by name."""
    return {name: value for (name, labels), value in scrape(port).items() if not labels}
