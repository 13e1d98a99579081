"""Who may call over HTTP: the token, TLS, pages of other origins."""

import json
import ssl

import httpx
import pytest

from dlcv_tf.serve import access, server
from dlcv_tf.serve.config import Config
from tests.artifact import tiny

PREDICT = "/v1/models/tiny:predict"
BODY = json.dumps({"instances": [tiny.ramp(4, 5).tolist()]}).encode()


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    directory = tmp_path_factory.mktemp("models")
    tiny.artifact(directory)
    return directory


def test_the_token_guards_all_but_health(models):
    with server.running(models, token="s3cret") as url, httpx.Client(base_url=url) as client:
        for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": "s3cret"}):
            answer = client.post(PREDICT, content=BODY, headers=headers)
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"] == "Bearer"
            assert "expected the header Authorization: Bearer TOKEN" in answer.json()["error"]
        assert client.get("/metrics").status_code == 401
        assert client.get("/v2/models/tiny").status_code == 401
        right = {"authorization": "Bearer s3cret"}
        assert client.post(PREDICT, content=BODY, headers=right).status_code == 200
        assert client.get("/metrics", headers=right).status_code == 200
        assert client.get("/healthz").status_code == 200
        assert client.get("/v2/health/ready").status_code == 200


def test_tls(models, tls):
    certificate, key = tls
    trusted = ssl.create_default_context(cafile=certificate)
    options = {"tls_certificate": certificate, "tls_key": key}
    with server.running(models, **options) as url:
        assert url.startswith("https://")
        with httpx.Client(base_url=url, verify=trusted) as client:
            assert client.post(PREDICT, content=BODY).status_code == 200
        with pytest.raises(httpx.TransportError):
            httpx.get(url.replace("https", "http") + "/healthz")


@pytest.mark.parametrize("cors", [False, True])
def test_pages_of_other_origins_call_only_by_option(models, cors):
    origin = {"origin": "https://example.org"}
    with server.running(models, cors=cors) as url, httpx.Client(base_url=url) as client:
        answers = [
            client.post(PREDICT, content=BODY, headers=origin),
            client.post(PREDICT, content=b"{", headers=origin),
            client.options(PREDICT, headers=origin),
        ]
        assert [a.headers.get("access-control-allow-origin") for a in answers] == (
            ["*"] * 3 if cors else [None] * 3
        )
        assert answers[2].status_code == (200 if cors else 400)
        if cors:
            assert client.options(PREDICT, headers={"origin": "file:"}).status_code == 400


def test_long_answers_are_compressed_for_those_who_take_it(models):
    body = json.dumps({"instances": [tiny.ramp(4, 5).tolist()] * 400}).encode()
    with server.running(models) as url, httpx.Client(base_url=url) as client:
        answers = [
            client.post(PREDICT, content=body, headers={"accept-encoding": encoding})
            for encoding in ("gzip", "identity", "gzip;q=0")
        ]
        short = client.post(PREDICT, content=BODY, headers={"accept-encoding": "gzip"})
    assert [a.headers.get("content-encoding") for a in answers] == ["gzip", None, None]
    assert answers[0].json() == answers[1].json() == answers[2].json()
    assert "content-encoding" not in short.headers


@pytest.mark.parametrize(
    ("options", "is_open"),
    [
        ({}, False),
        ({"host": "::1"}, False),
        ({"host": "localhost"}, False),
        ({"host": "0.0.0.0"}, True),
        ({"host": "some.name"}, True),
        ({"host": "0.0.0.0", "token": "s3cret"}, False),
    ],
)
def test_an_open_server_is_warned_of(options, is_open):
    assert (access.warning(Config(**options)) is not None) == is_open
