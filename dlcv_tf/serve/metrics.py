"""What Prometheus reads: requests, errors, times, batches, queues, states of the models, memory.

Every front of a server with several writes into files of one directory (`prometheus_client`'s
multiprocess mode, by PROMETHEUS_MULTIPROC_DIR), so whichever front is asked answers for all.
"""

import os
import resource
import time
from collections.abc import Callable, Iterator

import prometheus_client
from prometheus_client import multiprocess
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.utils import floatToGoString

from dlcv_tf.serve.call import Call
from dlcv_tf.serve.errors import Code, ServingError
from dlcv_tf.serve.repository import Repository

CONTENT_TYPE = prometheus_client.CONTENT_TYPE_PLAIN_0_0_4
PATHS = ("/metrics", "/monitoring/prometheus/metrics")  # the second is TF Serving's
SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
BATCHES = (1, 2, 4, 8, 16, 32, 64, 128)
MOST_SERIES = 4096  # label sets of requests; beyond, versions are counted together

COUNTS = {  # name to help and labels
    "dlcv_requests": ("requests answered", ("api", "method", "model", "version", "code")),
    "dlcv_pictures": ("pictures in requests", ("model",)),
    "dlcv_request_bytes": ("bytes of request bodies, as sent", ("api",)),
    "dlcv_answer_bytes": ("bytes of answer bodies, as sent", ("api",)),
    "dlcv_request_log_dropped": ("lines that the request log could not write", ()),
}
HISTOGRAMS = {
    "dlcv_request_seconds": ("from the request's header to its answer", SECONDS),
    "dlcv_stage_seconds": ("of a request's time, what each stage took", SECONDS),
    "dlcv_batch_pictures": ("pictures that ran together with a request's own", BATCHES),
}
HISTOGRAM_LABELS = {
    "dlcv_request_seconds": ("api", "method", "model"),
    "dlcv_stage_seconds": ("model", "stage"),
    "dlcv_batch_pictures": ("model",),
}


class Metrics:
    """The numbers of one server, or of one of its fronts.

    Args:
        models: whose states and queues are shown.
    """

    def __init__(self, models: Repository):
        prometheus_client.disable_created_metrics()
        self._models = models
        self._registry = prometheus_client.CollectorRegistry()
        self._is_shared = "PROMETHEUS_MULTIPROC_DIR" in os.environ
        # In multiprocess mode the files are collected, not the objects that write them.
        own = None if self._is_shared else self._registry
        self._counts = {
            name: prometheus_client.Counter(name, text, labels, registry=own)
            for name, (text, labels) in COUNTS.items()
        }
        self._histograms = {
            name: prometheus_client.Histogram(
                name, text, HISTOGRAM_LABELS[name], buckets=buckets, registry=own
            )
            for name, (text, buckets) in HISTOGRAMS.items()
        }
        if self._is_shared:
            multiprocess.MultiProcessCollector(self._registry)
        self._gauges: list[tuple[prometheus_client.Gauge, Callable[[], float]]] = []
        self.add_gauge("dlcv_resident_bytes", "memory of the server's processes", _resident_bytes)
        self._queues = self._gauge("dlcv_queue_requests", "requests waiting to be run", ("model",))
        self._bound: dict[tuple, tuple] = {}

    def add_gauge(self, name: str, text: str, value: Callable[[], float]) -> None:
        """Adds a number that is asked for when somebody looks.

        Args:
            name: of the metric.
            text: what it is.
            value: returns it.
        """
        self._gauges.append((self._gauge(name, text, ()), value))

    def dropped(self, lines: int) -> None:
        """Counts lines that the request log could not write."""
        self._counts["dlcv_request_log_dropped"].inc(lines)

    def observe(self, call: Call) -> None:
        """Counts one answered request."""
        self._models.count(call)
        key = (call.api, call.method, call.model, call.version, call.code)
        bound = self._bound.get(key)
        if bound is None:
            bound = self._bind(*key)
        requests, took, pictures, bytes_in, bytes_out, batch, stages = bound
        requests.inc()
        took.observe(time.monotonic() - call.started)
        bytes_in.inc(call.bytes_in)
        bytes_out.inc(call.bytes_out)
        if call.pictures:
            pictures.inc(call.pictures)
        if call.batch:
            batch.observe(call.batch)
        for name, value in [*call.stages.items()]:  # one that ran too late may still add
            if name not in stages:
                stages[name] = self._histograms["dlcv_stage_seconds"].labels(call.model, name)
            stages[name].observe(value)

    def refresh(self) -> None:
        """Sets the numbers that change by themselves; other fronts see them as they were then."""
        for gauge, value in self._gauges:
            gauge.set(value())
        for name in self._models.names():
            loaded = [version.model for version in _versions(self._models, name) if version.model]
            waiting = sum(getattr(model.executor, "waiting", 0) for model in loaded)
            self._queues.labels(name).set(waiting)

    def text(self) -> bytes:
        """Returns all numbers in Prometheus's text format."""
        self.refresh()
        return prometheus_client.generate_latest(self)

    def collect(self) -> Iterator[Metric]:
        """Yields all numbers: those counted, the states of models, and TF Serving's names."""
        for metric in self._registry.collect():
            yield metric
            if metric.name == "dlcv_requests":
                yield _request_count(metric)
            elif metric.name == "dlcv_request_seconds":
                yield _request_latency(metric)
        states = GaugeMetricFamily(
            "dlcv_model_state",
            "1 for the state each version is in, as the front that answers sees it",
            labels=("model", "version", "state"),
        )
        for name in self._models.names():
            for version in _versions(self._models, name):
                states.add_metric((name, str(version.number), version.state), 1)
        yield states

    def _gauge(self, name: str, text: str, labels: tuple[str, ...]) -> prometheus_client.Gauge:
        own = None if self._is_shared else self._registry
        return prometheus_client.Gauge(
            name, text, labels, registry=own, multiprocess_mode="livesum"
        )

    def _bind(self, api: str, method: str, model: str, version: int, code: Code) -> tuple:
        """Finds once for each kind of request what it adds to: labels are slow to look up."""
        known = model if model in self._models.names() else ""
        shown = str(version) if known and len(self._bound) < MOST_SERIES else ""
        counts, histograms = self._counts, self._histograms
        bound = (
            counts["dlcv_requests"].labels(api, method, known, shown, code.name),
            histograms["dlcv_request_seconds"].labels(api, method, known),
            counts["dlcv_pictures"].labels(known),
            counts["dlcv_request_bytes"].labels(api),
            counts["dlcv_answer_bytes"].labels(api),
            histograms["dlcv_batch_pictures"].labels(known),
            {},
        )
        if len(self._bound) < 2 * MOST_SERIES:
            self._bound[api, method, model, version, code] = bound
        return bound


def _versions(models: Repository, name: str) -> list:
    try:
        return models.versions(name)
    except ServingError:  # none was tried, or the model has gone
        return []


def _resident_bytes() -> float:
    """Returns the memory that this process holds, in bytes."""
    try:
        with open("/proc/self/statm") as numbers:
            return int(numbers.read().split()[1]) * resource.getpagesize()
    except OSError:  # no Linux: the most it ever held, in kilobytes
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _request_count(requests: Metric) -> Metric:
    """Returns the counted requests under TF Serving's name: by model and status."""
    metric = Metric(":tensorflow:serving:request_count", "requests, by TF Serving's name", "gauge")
    sums: dict[tuple[str, str], float] = {}
    for sample in requests.samples:
        if sample.name.endswith("_total") and sample.labels["model"]:
            key = sample.labels["model"], sample.labels["code"]
            sums[key] = sums.get(key, 0) + sample.value
    for (model, status), value in sums.items():
        metric.add_sample(metric.name, {"model_name": model, "status": status}, value)
    return metric


def _request_latency(seconds: Metric) -> Metric:
    """Returns the requests' times under TF Serving's name: in microseconds."""
    name = ":tensorflow:serving:request_latency"
    metric = Metric(name, "microseconds of a request, by TF Serving's name", "histogram")
    for sample in seconds.samples:
        if not sample.labels["model"]:
            continue
        labels = {
            "model_name": sample.labels["model"],
            "API": sample.labels["method"].capitalize(),
            "entrypoint": "GRPC" if sample.labels["api"].endswith("grpc") else "REST",
            "api": sample.labels["api"],
        }
        value = sample.value
        if "le" in sample.labels:
            labels["le"] = floatToGoString(round(float(sample.labels["le"]) * 1e6, 3))
        elif sample.name.endswith("_sum"):
            value *= 1e6
        suffix = sample.name.removeprefix(seconds.name)
        metric.add_sample(name + suffix, labels, value)
    return metric
