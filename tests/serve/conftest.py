"""A real server on a loopback port, with tiny real artifacts: fast, and free of TensorFlow."""

import pathlib
import shutil
import subprocess

import httpx
import pytest

from dlcv_tf.serve import server
from tests.artifact import tiny

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"


@pytest.fixture(scope="session")
def models_dir(tmp_path_factory):
    """`tiny` serves version 10, whose newer one is damaged; `grey` takes one channel."""
    models = tmp_path_factory.mktemp("savedmodels")
    tiny.artifact(models, "tiny", 9)
    tiny.artifact(models, "tiny", 10)
    damaged = tiny.artifact(models, "tiny", 11) / "model.onnx"
    damaged.write_bytes(b"\0" + damaged.read_bytes()[1:])
    tiny.artifact(models, "grey", 1, channels=1)
    return models


@pytest.fixture(scope="session")
def url(models_dir):
    """The base URL of the running server."""
    with server.running(models_dir) as base:
        yield base


@pytest.fixture(scope="session")
def client(url):
    """An HTTP client of the running server."""
    with httpx.Client(base_url=url, timeout=30) as http:
        yield http


@pytest.fixture(scope="module")
def browser():
    """A headless Chromium; of a module, since its event loop lets no other one run meanwhile."""
    playwright = pytest.importorskip("playwright.sync_api")
    if not pathlib.Path(CHROMIUM).exists():
        pytest.skip("chromium is not installed")
    with playwright.sync_playwright() as started:
        launched = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture(scope="session")
def tls(tmp_path_factory):
    """Files of a certificate for 127.0.0.1, signed by itself, and of its key."""
    directory = tmp_path_factory.mktemp("tls")
    certificate, key = str(directory / "certificate.pem"), str(directory / "key.pem")
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    command += ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    try:
        subprocess.run([*command, "-keyout", key, "-out", certificate], check=True, timeout=60)
    except FileNotFoundError:
        pytest.skip("openssl, which makes the certificate, is not installed")
    return certificate, key
