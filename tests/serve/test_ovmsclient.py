"""OpenVINO Model Server's client, which knows TF Serving's protocols and no TensorFlow."""

import httpx
import numpy as np
import pytest

from dlcv_tf.serve import server
from tests.artifact import tiny
from tests.serve import grpc_client

ovmsclient = pytest.importorskip("ovmsclient", reason="ovmsclient is not installed")
PICTURES = np.stack([tiny.ramp(6, 5), tiny.ramp(6, 5)[::-1]])


@pytest.mark.parametrize("way", ["grpc", "http"])
def test_status_metadata_and_predict(models_dir, way):
    if way == "grpc":
        with grpc_client.running(models_dir) as running:
            check(ovmsclient.make_grpc_client(running.address))
    else:
        with server.running(models_dir) as url:
            assert httpx.get(f"{url}/healthz").status_code == 200
            check(ovmsclient.make_http_client(url.removeprefix("http://")))


def check(client):
    """Asks for version 10: without, this client asks for version 0, which is there only if made."""
    status = client.get_model_status("tiny", 10)
    assert status[10]["state"] == "AVAILABLE" and status[10]["error_code"] == 0
    metadata = client.get_model_metadata("tiny", 10)
    if "model_spec" in metadata:  # over HTTP it reads Model Server's own names alone
        assert metadata["model_spec"]["version"] == "10"
    else:
        assert metadata["model_version"] == 10
        assert metadata["inputs"]["images"] == {"shape": [-1, -1, -1, 3], "dtype": "DT_UINT8"}
        assert metadata["outputs"].keys() == {"probabilities", "classes", "scores"}
    answers = client.predict({"images": PICTURES}, "tiny", 10)
    np.testing.assert_allclose(answers["probabilities"], tiny.probabilities(PICTURES), rtol=1e-5)
    with pytest.raises(Exception, match="Servable not found for request"):
        client.predict({"images": PICTURES}, "no")
