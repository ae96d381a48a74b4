"""Numbers for whoever watches the server: Prometheus text format 0.0.4.

Names follow Prometheus's conventions: base units, `_total` for what only grows. A label's values are
from our own tables (an endpoint's path, a status), never from a client, so their number is bounded.
"""

from __future__ import annotations

import os
import resource
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from starlette.responses import Response

from provgraph import __version__
from provgraph.server.counting import BUCKETS_S, Histogram
from provgraph.server.endpoints import Call, Endpoint
from provgraph.server.guard import OPERATE

MEDIA_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

Labels = tuple[tuple[str, str], ...]


async def show(call: Call) -> Response:
    """Write all numbers."""
    return Response("".join(_lines(call)), media_type=MEDIA_TYPE)


def _lines(call: Call) -> Iterator[str]:
    services = call.services
    seen = services.metrics
    yield from _family(
        "provgraph_requests_total",
        "counter",
        "Requests that were answered.",
        (
            ((("path", path), ("method", method), ("status", str(status))), count)
            for (path, method, status), count in sorted(seen.requests.items())
        ),
    )
    yield from _histograms(seen.durations)
    pool = services.pool
    states = Counter(each.state for each in pool.running.values())
    snapshot = services.snapshots.ledger_size
    usage = resource.getrusage(resource.RUSAGE_SELF)
    rows: tuple[tuple[str, str, str, float], ...] = (
        ("requests_in_flight", "gauge", "Requests that are being answered.", seen.in_flight),
        ("records_total", "counter", "Records that were taken in and are durable.", seen.records),
        ("requests_limited_total", "counter", "Requests refused with 429.", seen.limited),
        ("records_waiting_bytes", "gauge", "Bodies being taken in.", services.waiting_bytes),
        ("queries_running", "gauge", "Queries that a worker is at.", states["running"]),
        ("queries_waiting", "gauge", "Queries that wait for a worker.", states["waiting"]),
        ("query_workers_limit", "gauge", "Queries that may run at once.", pool.limits.workers),
        ("snapshot_entries", "gauge", "Ledger entries that queries see.", snapshot or 0),
        (
            "snapshot_ok",
            "gauge",
            "1 while the index follows the ledger.",
            services.snapshots.problem is None,
        ),
        (
            "trail_ok",
            "gauge",
            "1 while the access trail can be written.",
            services.trail is not None and services.trail.problem is None,
        ),
    )
    for name, kind, text, value in rows:
        yield from _family(f"provgraph_{name}", kind, text, [((), value)])
    yield from _family(
        "provgraph_info", "gauge", "The version, as a label.", [((("version", __version__),), 1)]
    )
    cpu_s = usage.ru_utime + usage.ru_stime
    yield from _family("process_cpu_seconds_total", "counter", "CPU time.", [((), cpu_s)])
    yield from _family(
        "process_start_time_seconds", "gauge", "Start, Unix time.", [((), seen.started_s)]
    )
    if sys.platform == "linux":
        with open("/proc/self/statm", encoding="ascii") as file:
            resident = int(file.read().split()[1]) * resource.getpagesize()
        yield from _family(
            "process_resident_memory_bytes", "gauge", "Memory in use.", [((), resident)]
        )
        yield from _family(
            "process_open_fds", "gauge", "Open files.", [((), len(os.listdir("/proc/self/fd")))]
        )


def _histograms(durations: Mapping[str, Histogram]) -> Iterator[str]:
    name = "provgraph_request_duration_seconds"
    yield f"# HELP {name} From the request's head to its answer.\n# TYPE {name} histogram\n"
    for path, found in sorted(durations.items()):
        total = 0
        for bound, count in zip(BUCKETS_S, found.counts, strict=True):
            total += count
            yield _sample(f"{name}_bucket", (("path", path), ("le", f"{bound:g}")), total)
        yield _sample(f"{name}_bucket", (("path", path), ("le", "+Inf")), found.count)
        yield _sample(f"{name}_sum", (("path", path),), found.sum_s)
        yield _sample(f"{name}_count", (("path", path),), found.count)


def _family(
    name: str, kind: str, text: str, samples: Iterable[tuple[Labels, float]]
) -> Iterator[str]:
    yield f"# HELP {name} {text}\n# TYPE {name} {kind}\n"
    for labels, value in samples:
        yield _sample(name, labels, value)


def _sample(name: str, labels: Labels, value: float) -> str:
    inside = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels)
    number = str(int(value)) if float(value).is_integer() else repr(float(value))
    return f"{name}{{{inside}}} {number}\n" if inside else f"{name} {number}\n"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


ENDPOINTS: Final = (
    Endpoint(
        path="/metrics",
        method="GET",
        action=OPERATE,
        handler=show,
        summary="Numbers for Prometheus",
        tag="operations",
        media_types=(MEDIA_TYPE,),
    ),
)
