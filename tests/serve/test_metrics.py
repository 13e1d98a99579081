"""What Prometheus reads: errors are counted too, under our names and TF Serving's."""

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from dlcv_tf.serve import server
from tests.artifact import tiny

PREDICT = "/v1/models/tiny:predict"
BODY = {"instances": [tiny.ramp(4, 5).tolist()] * 3}


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    """The numbers after three good requests, a bad one and one for a model that is not there."""
    models = tmp_path_factory.mktemp("models")
    tiny.artifact(models)
    with server.running(models) as url, httpx.Client(base_url=url) as client:
        assert [client.post(PREDICT, json=BODY).status_code for _ in range(3)] == [200] * 3
        assert client.post(PREDICT, json={"instances": []}).status_code == 400
        assert client.post("/v1/models/nope:predict", json=BODY).status_code == 404
        assert client.get("/monitoring/prometheus/metrics").status_code == 200
        text = client.get("/metrics").text
    return [sample for family in text_string_to_metric_families(text) for sample in family.samples]


def value(samples, name: str, **labels) -> float:
    """Returns the sum of the samples of a name with these labels."""
    found = [s for s in samples if s.name == name and labels.items() <= s.labels.items()]
    assert found, name
    return sum(sample.value for sample in found)


def test_requests_are_counted_by_model_and_code(samples):
    count = "dlcv_requests_total"
    assert value(samples, count, model="tiny", code="OK", method="predict", version="1") == 3
    assert value(samples, count, api="tensorflow_rest", code="INVALID_ARGUMENT") == 1
    assert value(samples, count, code="NOT_FOUND", model="") == 1
    status = ":tensorflow:serving:request_count"
    assert value(samples, status, model_name="tiny", status="OK") == 3


def test_times_batches_and_states(samples):
    assert value(samples, "dlcv_pictures_total", model="tiny") == 9
    assert value(samples, "dlcv_request_seconds_count", model="tiny", method="predict") >= 3
    assert 0 < value(samples, "dlcv_request_seconds_sum", model="tiny") < 10
    assert value(samples, "dlcv_stage_seconds_count", model="tiny", stage="run") == 3
    assert value(samples, "dlcv_batch_pictures_sum", model="tiny") >= 9
    assert value(samples, "dlcv_model_state", model="tiny", version="1", state="AVAILABLE") == 1
    assert value(samples, "dlcv_resident_bytes") > 1e6
