"""The application: health, limits, compressed bodies, and what happens while models load."""

import asyncio
import concurrent.futures
import gzip
import json

import httpx
import pytest

from dlcv_tf.serve.app import App
from dlcv_tf.serve.config import Config
from dlcv_tf.serve.repository import Repository
from tests.artifact import tiny

PREDICT = "/v1/models/tiny:predict"
BODY = json.dumps({"instances": [tiny.ramp(4, 5).tolist()]}).encode()


def new_app(models: Repository, **options) -> App:
    """Makes an application that nothing is measured of."""
    return App(models, Config(**options), observe=lambda call: None, metrics=lambda: b"")


def call(app: App, method: str, path: str, **options) -> httpx.Response:
    """Calls the application without a server."""

    async def request():
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.request(method, path, **options)

    return asyncio.run(request())


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    directory = tmp_path_factory.mktemp("models")
    tiny.artifact(directory)
    repository = Repository(Config(str(directory)))
    repository.load()
    return repository


@pytest.mark.parametrize("path", ["/healthz", "/v2/health/live", "/v2/health/ready"])
def test_health(client, path):
    assert client.get(path).status_code == 200
    head = client.head(path)
    assert (head.status_code, head.content) == (200, b"")
    assert client.post(path).status_code == 405


def test_not_ready_and_unavailable_until_models_are_loaded(tmp_path):
    tiny.artifact(tmp_path)
    loading = Repository(Config(str(tmp_path)))
    app = new_app(loading)
    assert call(app, "GET", "/healthz").status_code == 200
    assert call(app, "GET", "/v2/health/ready").status_code == 503
    answer = call(app, "POST", PREDICT, content=BODY)
    assert answer.status_code == 503
    assert "is being loaded" in answer.json()["error"]
    assert call(app, "POST", "/v1/models/nope:predict", content=BODY).status_code == 404
    loading.load()
    assert call(app, "GET", "/v2/health/ready").json() == {"ready": True}
    assert call(app, "POST", PREDICT, content=BODY).status_code == 200


def test_gzip_bodies_are_inflated(client):
    headers = {"content-encoding": "gzip"}
    answer = client.post(PREDICT, content=gzip.compress(BODY), headers=headers)
    assert answer.status_code == 200
    assert answer.json() == client.post(PREDICT, content=BODY).json()


@pytest.mark.parametrize(
    "data", [BODY, gzip.compress(BODY)[:-9], b"", gzip.compress(BODY) + b"more"]
)
def test_bad_gzip_is_refused(client, data):
    answer = client.post(PREDICT, content=data, headers={"content-encoding": "gzip"})
    assert answer.status_code == 400
    assert "gzip body" in answer.json()["error"]


def test_a_gzip_bomb_is_refused(models):
    app = new_app(models, max_body=1_000_000)
    fits = gzip.compress(BODY + b" " * (1_000_000 - len(BODY)))
    headers = {"content-encoding": "gzip"}
    assert call(app, "POST", PREDICT, content=fits, headers=headers).status_code == 200
    bomb = gzip.compress(b" " * 1_000_001)
    answer = call(app, "POST", PREDICT, content=bomb, headers=headers)
    assert answer.status_code == 413
    assert "over 1000000 bytes inflated" in answer.json()["error"]


@pytest.mark.parametrize("size", [len(BODY) + 1, 100_000])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_over_the_limit_is_refused(models, size, chunked):
    app = new_app(models, max_body=len(BODY))
    assert call(app, "POST", PREDICT, content=BODY).status_code == 200

    async def chunks():
        for start in range(0, size, 1000):
            yield b" " * min(1000, size - start)

    answer = call(app, "POST", PREDICT, content=chunks() if chunked else b" " * size)
    assert answer.status_code == 413
    assert f"got a body over {len(BODY)} bytes" in answer.json()["error"]


def test_an_unexpected_failure_is_a_500_that_says_what(models, monkeypatch, caplog):
    with models.use("tiny") as model:
        monkeypatch.setattr(model, "executor", lambda images, call: 1 / 0)
        answer = call(new_app(models), "POST", PREDICT, content=BODY)
    assert answer.status_code == 500
    assert answer.json() == {"error": "ZeroDivisionError: division by zero"}
    assert "failed to answer POST" in caplog.text


def test_many_clients_at_once(url):
    def ask(shade):
        image = tiny.ramp(3 + shade % 4, 5) // 2 + shade
        answer = httpx.post(url + PREDICT, json={"instances": [image.tolist()]}, timeout=30)
        return answer.json()["predictions"][0]["probabilities"], tiny.probabilities(image[None])[0]

    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        for got, expected in threads.map(ask, range(64)):
            assert got == pytest.approx(expected.tolist(), abs=1e-5)
