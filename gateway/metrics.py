"""Prometheus metrics on a port of their own, read from counters at the moment of a scrape; an order never touches this.

Each source is a callable that runs in the scraping thread: it may read counters, and must change nothing.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from threading import Thread
from typing import Any
from wsgiref.simple_server import WSGIServer

import msgspec
from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric, SummaryMetricFamily
from prometheus_client.registry import Collector

from ext.codes import REJECT_CODES
from gateway.log import dropped_lines
from gateway.quota import QuotaFigures

NS_PER_S = 1e9
E4_PER_YUAN = 1e4
NAMES: dict[int, str] = {code: f"R{code} {entry[0]}" for code, entry in REJECT_CODES.items()}
PASS = 1
QUANTILES = (0.5, 0.9, 0.99, 0.999, 1.0)


class StageSummary(msgspec.Struct, frozen=True):
    """Latency of one stage since start: quantile (0.5, 0.99, ...) to nanoseconds."""

    count: int
    sum_ns: int
    quantiles_ns: Mapping[float, int]


def summary_of(histogram: Any) -> StageSummary:
    """Of an ext.histogram."""
    quantiles = {quantile: histogram.percentile_ns(int(quantile * 1_000_000)) for quantile in QUANTILES}
    return StageSummary(count=histogram.count, sum_ns=histogram.sum_ns, quantiles_ns=quantiles)


class ControlFigures(msgspec.Struct, frozen=True):
    """Rules and the control process."""

    rule_set: int  # number of the one in force, 0: none
    alerts: int  # of today
    alerts_sent: int  # over all streams
    alerts_lag: int  # that the slowest stream has yet to take
    alert_streams: int
    proposals: int  # waiting for a second person
    levels: Sequence[int]  # subjects at each level
    restarts: int
    up: bool
    cluster: tuple[bool, int] | None = None  # the cluster's commands can be read; how many were taken; None: alone


class DropFigures(msgspec.Struct, frozen=True):
    """The copy of the reports in Redis."""

    lag: int = 0  # reports that are safe, and not in the stream
    added: int = 0  # since the copy's start
    up: bool = False  # Redis takes them
    restarts: int = 0


class SnapshotFigures(msgspec.Struct, frozen=True):
    """Snapshots of this shard since it started."""

    written: int
    failed: int
    restarts: int  # of the process that writes them
    newest_seq: int  # journal frame that the newest one ends with


class MetricSources(msgspec.Struct, frozen=True):
    """Where each figure is read."""

    orders_in: Callable[[], int]
    decisions: Callable[[], Mapping[int, int]]  # codes.RejectCode (PASS too) to count
    reports: Callable[[], Mapping[str, int]]  # ExecType name to count
    stages: Callable[[], Mapping[str, StageSummary]]
    venue_links: Callable[[], Mapping[str, bool]]  # exchange name to ready
    sessions: Callable[[], int]
    open_orders: Callable[[], int]
    journal_bytes: Callable[[], int]
    shed: Callable[[], Mapping[str, int]] = dict  # what for, to orders
    waiting: Callable[[], Mapping[str, int]] = dict  # what, to how much of it
    log_drops: Callable[[], int] = dropped_lines
    held_bytes: Callable[[], int] = lambda: 0
    member: Callable[[], Mapping[str, Any] | None] = lambda: None  # gateway.member's figures; None: no cluster
    journal_free: Callable[[], tuple[int, bool]] = lambda: (0, False)  # bytes left for it; whether orders are refused
    control: Callable[[], "ControlFigures | None"] = lambda: None  # None: no control process is asked for
    snapshots: Callable[[], "SnapshotFigures | None"] = lambda: None  # None: none are asked for
    drop_copy: Callable[[], "DropFigures | None"] = lambda: None
    quota: Callable[[], QuotaFigures | None] = lambda: None  # None: the limits are not divided over shards


class GatewayCollector(Collector):
    """Turns the sources into metric families."""

    def __init__(self, sources: MetricSources) -> None:
        self.sources = sources

    def collect(self) -> Iterator[Metric]:
        sources = self.sources
        yield CounterMetricFamily("tidegate_orders_in", "New orders received.", value=sources.orders_in())
        yield self.decisions()
        yield self.reports()
        yield self.stages()
        yield self.venue_links()
        yield GaugeMetricFamily("tidegate_sessions", "Sessions logged on.", value=sources.sessions())
        yield GaugeMetricFamily("tidegate_open_orders", "Orders not yet terminal.", value=sources.open_orders())
        shed = CounterMetricFamily("tidegate_shed", "New orders shed, by what for.", labels=["what"])
        yield self.labelled(shed, sources.shed())
        waiting = GaugeMetricFamily("tidegate_waiting", "What waits for its turn beside the orders.", labels=["what"])
        yield self.labelled(waiting, sources.waiting())
        yield CounterMetricFamily("tidegate_journal_bytes", "Bytes in the journal.", value=sources.journal_bytes())
        free, full = sources.journal_free()
        yield GaugeMetricFamily("tidegate_journal_free_bytes", "Bytes left for the journal.", value=free)
        yield GaugeMetricFamily("tidegate_disk_full", "1 while orders are refused for want of disk.", value=int(full))
        yield CounterMetricFamily("tidegate_log_drops", "Log lines dropped.", value=sources.log_drops())
        yield GaugeMetricFamily("tidegate_held_bytes", "Waiting for a safe journal.", value=sources.held_bytes())
        yield from member_families(sources.member())
        yield from control_families(sources.control())
        yield from snapshot_families(sources.snapshots())
        yield from drop_copy_families(sources.drop_copy())
        yield from quota_families(sources.quota())

    def decisions(self) -> Metric:
        family = CounterMetricFamily("tidegate_decisions", "Decisions on new orders, by code.", labels=["code", "name"])
        for code, count in sorted(self.sources.decisions().items()):
            name, _, text = ("PASS", "", "PASS") if code == PASS else NAMES.get(code, f"R{code} UNKNOWN").partition(" ")
            family.add_metric([name, text], count)
        return family

    def reports(self) -> Metric:
        family = CounterMetricFamily("tidegate_reports", "Execution reports sent, by type.", labels=["exec_type"])
        for exec_type, count in self.sources.reports().items():
            family.add_metric([exec_type], count)
        return family

    def labelled(
        self, family: CounterMetricFamily | GaugeMetricFamily, counts: Mapping[str, int]
    ) -> Metric:
        """A family with one sample for each label."""
        for label, count in counts.items():
            family.add_metric([label], count)
        return family

    def stages(self) -> Metric:
        family = SummaryMetricFamily("tidegate_stage_seconds", "Time in each stage of an order.", labels=["stage"])
        for stage, summary in self.sources.stages().items():
            family.add_metric([stage], count_value=summary.count, sum_value=summary.sum_ns / NS_PER_S)
            for quantile, value_ns in summary.quantiles_ns.items():
                labels = {"stage": stage, "quantile": str(quantile)}
                family.add_sample("tidegate_stage_seconds", labels, value_ns / NS_PER_S)
        return family

    def venue_links(self) -> Metric:
        family = GaugeMetricFamily("tidegate_venue_link_up", "1 while the exchange link is ready.", labels=["venue"])
        for venue, up in self.sources.venue_links().items():
            family.add_metric([venue], int(up))
        return family


def member_families(figures: Mapping[str, Any] | None) -> Iterator[Metric]:
    """This node's part in its shard; nothing without a cluster."""
    if figures is None:
        return
    for name, text, value in (
        ("owner", "1 while this node owns its shard.", figures["role"] == "owner"),
        ("epoch", "Of the shard's ownership, as this node knows it.", figures["epoch"]),
        ("standby_in_step", "1 while a standby holds all that was told.", figures["standby_step"] == "in_step"),
        ("standby_lag_bytes", "Journal bytes the standby has yet to confirm.", figures["standby_lag_bytes"]),
        ("redis_up", "1 while Redis renews the lease.", figures["redis"]),
    ):
        yield GaugeMetricFamily(f"tidegate_{name}", text, value=int(value))


def control_families(figures: ControlFigures | None) -> Iterator[Metric]:
    """Rules, alerts, proposals and levels; nothing without a control process."""
    if figures is None:
        return
    yield GaugeMetricFamily("tidegate_rule_set", "Number of the rule set in force today.", value=figures.rule_set)
    yield CounterMetricFamily("tidegate_alerts", "Alerts today.", value=figures.alerts)
    yield CounterMetricFamily("tidegate_alerts_sent", "Alerts sent to subscribers.", value=figures.alerts_sent)
    yield GaugeMetricFamily("tidegate_alerts_lag", "Alerts the slowest stream waits for.", value=figures.alerts_lag)
    yield GaugeMetricFamily("tidegate_alert_streams", "Subscribers to alerts.", value=figures.alert_streams)
    yield GaugeMetricFamily("tidegate_proposals", "Proposals waiting for a second person.", value=figures.proposals)
    yield GaugeMetricFamily("tidegate_control_up", "1 while the control process runs.", value=int(figures.up))
    yield CounterMetricFamily("tidegate_control_restarts", "Restarts of the control process.", value=figures.restarts)
    if figures.cluster is not None:
        up, taken = figures.cluster
        yield GaugeMetricFamily("tidegate_cluster_up", "1 while the cluster's commands can be read.", value=int(up))
        yield CounterMetricFamily("tidegate_cluster_commands", "Commands for all shards, taken.", value=taken)
    family = GaugeMetricFamily("tidegate_levels", "Accounts, groups, firm at each response level.", labels=["level"])
    for level, count in enumerate(figures.levels):
        family.add_metric([f"L{level}"], count)
    yield family


def snapshot_families(figures: SnapshotFigures | None) -> Iterator[Metric]:
    if figures is None:
        return
    yield CounterMetricFamily("tidegate_snapshots", "Snapshots written.", value=figures.written)
    yield CounterMetricFamily("tidegate_snapshots_failed", "Snapshots that could not be.", value=figures.failed)
    yield CounterMetricFamily("tidegate_snapshot_restarts", "Restarts of their process.", value=figures.restarts)
    yield GaugeMetricFamily("tidegate_snapshot_seq", "Last journal frame of the newest one.", value=figures.newest_seq)


def drop_copy_families(figures: DropFigures | None) -> Iterator[Metric]:
    """Nothing without a drop copy."""
    if figures is None:
        return
    yield GaugeMetricFamily("tidegate_drop_copy_lag", "Reports that are not in the stream yet.", value=figures.lag)
    yield CounterMetricFamily("tidegate_drop_copy_added", "Reports put into the stream.", value=figures.added)
    yield GaugeMetricFamily("tidegate_drop_copy_up", "1 while Redis takes the reports.", value=int(figures.up))
    yield CounterMetricFamily("tidegate_drop_copy_restarts", "Restarts of the drop copy.", value=figures.restarts)


def quota_families(figures: QuotaFigures | None) -> Iterator[Metric]:
    """This shard's shares of the firm's limits; nothing where they are not divided."""
    if figures is None:
        return
    for name, text, on in (
        ("redis_up", "1 while Redis answers about shares.", figures.up),
        ("whole", "1 while every shard has said what it holds.", figures.whole),
        ("stopped", "1: given up, or another process owns the shard.", figures.stopped),
    ):
        yield GaugeMetricFamily(f"tidegate_quota_{name}", text, value=int(on))
    yield CounterMetricFamily("tidegate_quota_unmet", "Requests for shares not met in full.", value=figures.unmet)
    for name, text, amounts in (
        ("limit", "Limits of the firm, all shards.", figures.limits),
        ("leased", "This shard's shares of them.", figures.leased),
        ("used", "What this shard uses of them.", figures.used),
    ):
        family = GaugeMetricFamily(f"tidegate_quota_{name}_yuan", text, labels=["kind"])
        for kind, amount_e4 in amounts.items():
            family.add_metric([kind], amount_e4 / E4_PER_YUAN)
        yield family


class MetricsServer:
    """GET /metrics until it is stopped."""

    def __init__(self, sources: MetricSources, port: int, host: str = "127.0.0.1") -> None:
        """Listens at once; port 0 takes a free one. Raises OSError when the port is in use."""
        registry = CollectorRegistry(auto_describe=False)
        registry.register(GatewayCollector(sources))
        ProcessCollector(registry=registry)
        self.server: WSGIServer
        self.thread: Thread
        self.server, self.thread = start_http_server(port, addr=host, registry=registry)
        self.port: int = self.server.server_port

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(2.0)
