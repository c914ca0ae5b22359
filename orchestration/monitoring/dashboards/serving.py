"""The dashboard of services: what waits, what is answered and refused, which bundle answers."""

from orchestration.monitoring.dashboards.cluster import GPU_ROW, NODES, RAY_ROW
from orchestration.monitoring.dashboards.grafana import Dashboard, Kind, Panel, Query, Row, Variable

_OF = 'instance=~"$service"'
_WINDOW = "5m"


def _gauge(name: str, *by: str, where: str = "") -> str:
    """A figure of the chosen services; one that several addresses of a service export counts once."""
    return f"max by ({', '.join(('instance', *by))}) (animatic_serving_{name}{{{_OF}{where}}})"


def _per_minute(name: str, *by: str) -> str:
    return f"60 * sum by ({', '.join(by)}) (rate(animatic_serving_{name}_total{{{_OF}}}[{_WINDOW}]))"


def _number(title: str, description: str, unit: str, expression: str) -> Panel:
    queries = (Query(expression, "{{instance}}"),)
    return Panel(title, description, unit, queries, Kind.NUMBER, width=4, height=4, low=None)


def _curves(title: str, description: str, unit: str, expression: str, legend: str) -> Panel:
    return Panel(title, description, unit, (Query(expression, legend),))


def _times(title: str, description: str, name: str, by: str) -> Panel:
    """Median and 95th percentile of a histogram."""
    series = f"sum by (le, {by}) (rate(animatic_serving_{name}_bucket{{{_OF}}}[{_WINDOW}]))"
    queries = (
        Query(f"histogram_quantile(0.5, {series})", f"{{{{{by}}}}} median"),
        Query(f"histogram_quantile(0.95, {series})", f"{{{{{by}}}}} 95 %"),
    )
    return Panel(title, description, "s", queries)


def _ended(outcome: str) -> str:
    """Videos that ended within the last hour; ``outcome`` with its operator."""
    return f"sum(increase(animatic_serving_videos_ended_total{{{_OF}, outcome{outcome}}}[1h]))"


# What a panel is about, where the text is longer than a line.
_STORAGE = (
    "Pictures and clips, of the bytes that are allowed; at the bound, the oldest clips go before their time."
)
_REJECTS = "Requests answered with an error, by its code; queue_full and rate_limited are the limits at work."
_OUTDATED = "Replicas that do not serve what the pointer names, and those whose newest exchange failed."
_FAULTS = "Devices without memory, self-checks, attempts whose replica was lost, errors of loops that go on."
_FAILURES = f'rate(animatic_serving_videos_ended_total{{{_OF}, outcome="failed"}}[{_WINDOW}])'
_SERVED = _gauge("model_info", "model", "bundle", "preset", "stage")


_STATE = Row(
    "Services",
    (
        _number("Ready", "1 if a replica serves the required model.", "none", _gauge("ready")),
        _number("Waiting", "Videos in the queue.", "none", _gauge("videos", where=', state="queued"')),
        _number("Longest wait", "Of the videos in the queue.", "s", _gauge("queue_oldest_seconds")),
        _number("Replicas", "That live.", "none", _gauge("replicas", where=', state="live"')),
        _number(
            "Failed",
            "Share of the videos that ended within the last hour, without those that were cancelled.",
            "percentunit",
            _ended('="failed"') + " / " + _ended('!="cancelled"'),
        ),
        _number(
            "Storage",
            _STORAGE,
            "percentunit",
            f"{_gauge('stored_bytes')} / {_gauge('stored_limit_bytes')}",
        ),
    ),
)

_VIDEOS = Row(
    "Videos",
    (
        _curves(
            "Queue",
            "Videos that wait or are made, and how many may wait.",
            "none",
            _gauge("videos", "state", where=', state=~"queued|in_progress"'),
            "{{state}}",
        ),
        _times("Wait", "From acceptance to the first step.", "wait_seconds", "model"),
        _times("Time to make one", "From the first step to the clip.", "run_seconds", "model"),
        _curves(
            "Clips per minute",
            "Videos that ended, by outcome.",
            "none",
            _per_minute("videos_ended", "outcome"),
            "{{outcome}}",
        ),
        _curves(
            "Failures per minute",
            "By the code that clients get.",
            "none",
            f"60 * sum by (code) ({_FAILURES})",
            "{{code}}",
        ),
        _times("Step", "One denoising step of a batch.", "step_seconds", "model"),
    ),
)

_REQUESTS = Row(
    "Requests",
    (
        _curves(
            "Rejects per minute",
            _REJECTS,
            "none",
            _per_minute("rejects", "reason"),
            "{{reason}}",
        ),
        _curves(
            "Requests per minute", "By status.", "none", _per_minute("http_requests", "status"), "{{status}}"
        ),
        _times("Time to answer", "By route, without streams.", "http_request_seconds", "route"),
    ),
)

_MODELS = Row(
    "Models",
    (
        _curves(
            "Who answers",
            "Replicas by the bundle that they serve.",
            "none",
            _SERVED,
            "{{model}} {{preset}} stage {{stage}} {{bundle}}",
        ),
        Panel(
            "Not as it should be",
            _OUTDATED,
            "none",
            (
                Query(_gauge("model_outdated_replicas", "model"), "{{model}} outdated"),
                Query(_gauge("model_failed_replicas", "model"), "{{model}} failed"),
                Query(_gauge("model_held", "model"), "{{model}} held by a rollback"),
            ),
        ),
        _curves(
            "Exchanges per minute",
            "Of models, by outcome: swapped, rolled_back, or the phase that failed.",
            "none",
            _per_minute("swaps", "model", "outcome"),
            "{{model}} {{outcome}}",
        ),
        _times("Phases of an exchange", "Fetch, verify, load, smoke clip.", "swap_phase_seconds", "phase"),
    ),
)

_REPLICAS = Row(
    "Replicas",
    (
        _curves("Replicas", "Live ones, and lost ones.", "none", _gauge("replicas", "state"), "{{state}}"),
        _curves(
            "Memory of devices",
            "Allocated by a replica.",
            "bytes",
            _gauge("device_memory_bytes", "replica", "device"),
            "{{replica}} {{device}}",
        ),
        _curves(
            "Batches per minute",
            "By number of clips.",
            "none",
            _per_minute("batches", "clips"),
            "{{clips}} clips",
        ),
        Panel(
            "Faults per minute",
            _FAULTS,
            "none",
            (
                Query(_per_minute("out_of_memory", "instance"), "out of memory"),
                Query(_per_minute("self_checks", "outcome"), "self-check {{outcome}}"),
                Query(_per_minute("attempts_lost", "instance"), "attempts lost"),
                Query(_per_minute("faults", "loop"), "{{loop}}"),
            ),
        ),
    ),
)

SERVING_DASHBOARD = Dashboard(
    name="serving",
    title="animatic: serving",
    description="Services of animatic serve, and the nodes that they run on.",
    variables=(Variable("service", "Service", "label_values(animatic_serving_ready, instance)"), NODES),
    rows=(_STATE, _VIDEOS, _REQUESTS, _MODELS, _REPLICAS, RAY_ROW, GPU_ROW),
)
