"""Rows that the dashboards share: the nodes of the Ray cluster, and their GPUs."""

from orchestration.monitoring.dashboards.grafana import Panel, Query, Row, Variable

NODES = Variable("node", "Ray node", "label_values(ray_node_cpu_count, instance)")
_NODE = 'instance=~"$node"'
_PER_NODE = "{{instance}}"
_PER_GPU = "{{instance}} GPU {{GpuIndex}}"
_PER_DCGM_GPU = "{{Hostname}} GPU {{gpu}}"
_MIB = "mbytes"


def _queries(expression: str, legend: str) -> tuple[Query, ...]:
    return (Query(expression, legend),)


RAY_ROW = Row(
    "Nodes",
    (
        Panel(
            "CPUs",
            "Share of a node's CPUs in use.",
            "percent",
            _queries(f"ray_node_cpu_utilization{{{_NODE}}}", _PER_NODE),
            high=100,
        ),
        Panel(
            "Memory",
            "Share of a node's memory in use; near 100 %, Ray ends workers.",
            "percentunit",
            _queries(f"ray_node_mem_used{{{_NODE}}} / ray_node_mem_total{{{_NODE}}}", _PER_NODE),
            high=1,
        ),
        Panel(
            "Object store",
            "Ray's objects in shared memory; jobs pass paths and counts through it, never clips.",
            "bytes",
            _queries(
                f'sum by (instance) (ray_object_store_memory{{{_NODE}, Location=~"MMAP_.*"}})', _PER_NODE
            ),
        ),
        Panel(
            "Disk",
            "Of Ray's temporary folder; above 95 %, Ray stores nothing on it.",
            "percent",
            _queries(f"ray_node_disk_utilization_percentage{{{_NODE}}}", _PER_NODE),
            high=100,
        ),
        Panel(
            "Network",
            "Bytes received and sent per second: clips, gradients, checkpoints.",
            "Bps",
            (
                Query(f"ray_node_network_receive_speed{{{_NODE}}}", "{{instance}} received"),
                Query(f"ray_node_network_send_speed{{{_NODE}}}", "{{instance}} sent"),
            ),
        ),
        Panel(
            "Disk throughput",
            "Bytes read and written per second.",
            "Bps",
            (
                Query(f"ray_node_disk_io_read_speed{{{_NODE}}}", "{{instance}} read"),
                Query(f"ray_node_disk_io_write_speed{{{_NODE}}}", "{{instance}} written"),
            ),
        ),
    ),
)

GPU_ROW = Row(
    "GPUs",
    (
        Panel(
            "GPU utilisation",
            "As Ray reports it: share of the time in which any kernel ran.",
            "percent",
            _queries(f"ray_node_gpus_utilization{{{_NODE}}}", _PER_GPU),
            high=100,
        ),
        Panel(
            "GPU memory",
            "As Ray reports it.",
            _MIB,
            _queries(f"ray_node_gram_used{{{_NODE}}}", _PER_GPU),
        ),
        Panel(
            "SM clock",
            "A clock below the others' is throttled: by heat, or by a limit of power.",
            "hertz",
            _queries("DCGM_FI_DEV_SM_CLOCK * 1e6", _PER_DCGM_GPU),
        ),
        Panel("Power", "Power draw.", "watt", _queries("DCGM_FI_DEV_POWER_USAGE", _PER_DCGM_GPU)),
        Panel(
            "Temperature", "Of the GPU.", "celsius", _queries("DCGM_FI_DEV_GPU_TEMP", _PER_DCGM_GPU), low=None
        ),
        Panel(
            "Errors",
            "Last XID code, and rows of memory that were replaced after errors that ECC could not correct.",
            "none",
            (
                Query("DCGM_FI_DEV_XID_ERRORS", f"XID {_PER_DCGM_GPU}"),
                Query("DCGM_FI_DEV_UNCORRECTABLE_REMAPPED_ROWS", f"rows {_PER_DCGM_GPU}"),
            ),
        ),
    ),
)
