"""Metrics, scraped over HTTP as Prometheus does."""

import socket
import urllib.error
import urllib.request

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway.metrics import MetricSources, MetricsServer, StageSummary


@pytest.fixture
def counters():
    return {"orders": 7, "decisions": {1: 5, 1301: 2, 9999: 1}, "log_drops": 3}


@pytest.fixture
def server(counters):
    sources = MetricSources(
        orders_in=lambda: counters["orders"],
        decisions=lambda: counters["decisions"],
        reports=lambda: {"TRADE": 4},
        stages=lambda: {"decide": StageSummary(10, 5_000, {0.5: 400, 0.99: 900})},
        venue_links=lambda: {"XSHG": True, "XSHE": False},
        sessions=lambda: 2,
        open_orders=lambda: 3,
        journal_bytes=lambda: 4096,
        log_drops=lambda: counters["log_drops"],
    )
    server = MetricsServer(sources, 0)
    yield server
    server.stop()


def scrape(server):
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    return {(sample.name, *sorted(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text) for sample in family.samples}


def test_every_source_is_exposed(server):
    samples = scrape(server)
    assert samples["tidegate_orders_in_total",] == 7
    assert samples["tidegate_decisions_total", ("code", "R1301"), ("name", "CASH")] == 2
    assert samples["tidegate_decisions_total", ("code", "PASS"), ("name", "PASS")] == 5
    assert samples["tidegate_decisions_total", ("code", "R9999"), ("name", "UNKNOWN")] == 1
    assert samples["tidegate_reports_total", ("exec_type", "TRADE")] == 4
    assert samples["tidegate_stage_seconds", ("quantile", "0.99"), ("stage", "decide")] == pytest.approx(900e-9)
    assert samples["tidegate_stage_seconds_count", ("stage", "decide")] == 10
    assert samples["tidegate_venue_link_up", ("venue", "XSHE")] == 0
    assert samples["tidegate_venue_link_up", ("venue", "XSHG")] == 1
    assert samples["tidegate_journal_bytes_total",] == 4096
    assert samples["tidegate_log_drops_total",] == 3
    assert samples["process_resident_memory_bytes",] > 1_000_000


def test_a_scrape_reads_the_counters_of_its_moment(server, counters):
    scrape(server)
    counters["orders"] = 8
    assert scrape(server)["tidegate_orders_in_total",] == 8


def test_a_port_in_use_is_an_error(server):
    with pytest.raises(OSError, match="Address already in use"):
        MetricsServer(MetricSources(*[dict] * 8), server.port)


def test_the_port_is_free_after_stop(server):
    port = server.port
    server.stop()
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=2)
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))
