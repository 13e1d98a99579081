"""The request log: a line for each request, and no request that waits for it."""

import base64
import json
import os
import pathlib
import re
import time

import httpx
import pytest

from dlcv_tf.errors import InputError
from dlcv_tf.serve import server
from dlcv_tf.serve.call import Call
from dlcv_tf.serve.config import Config
from dlcv_tf.serve.request_log import RequestLog
from tests.artifact import tiny

PREDICT = "/v1/models/tiny:predict"
BODY = json.dumps({"instances": [tiny.ramp(4, 5).tolist()]}).encode()


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    directory = tmp_path_factory.mktemp("models")
    tiny.artifact(directory)
    return directory


@pytest.mark.parametrize("log_pictures", [False, True])
def test_a_line_for_each_request(models, tmp_path, log_pictures):
    path = tmp_path / "requests.jsonl"
    options = {"request_log": str(path), "log_pictures": log_pictures}
    with server.running(models, **options) as url, httpx.Client(base_url=url) as client:
        answer = client.post(PREDICT, content=BODY, headers={"x-request-id": "mine-1"})
        assert answer.headers["x-request-id"] == "mine-1"
        evil = client.post(PREDICT, content=b"{}", headers={"x-request-id": 'a" b'})
        assert '"' not in evil.headers["x-request-id"]
    good, bad = [json.loads(line) for line in path.read_text().splitlines()]
    assert (good["request_id"], good["code"], good["model"]) == ("mine-1", "OK", "tiny")
    assert (good["version"], good["signature"], good["pictures"]) == (1, "serving_default", 1)
    assert good["bytes_in"] == len(BODY) and good["bytes_out"] == len(answer.content)
    assert good["stages"].keys() >= {"parse", "run", "render"} and good["milliseconds"] > 0
    assert bad["code"] == "INVALID_ARGUMENT" and "Missing 'inputs'" in bad["error"]
    assert ("body" in good) == log_pictures
    if log_pictures:
        assert base64.b64decode(good["body"]) == BODY


def test_who_asked_for_what_is_written_of_all_that_fails(models, tmp_path):
    path = tmp_path / "requests.jsonl"
    with (
        server.running(models, request_log=str(path), token="right") as url,
        httpx.Client(base_url=url, headers={"authorization": "Bearer right"}) as client,
    ):
        client.post(PREDICT, content=BODY, headers={"authorization": "Bearer wrong"})
        client.post(PREDICT, content=b"{")
        client.post("/v2/models/tiny/infer", content=b"{")
        client.get("/v1/models/made-up/metadata")
        text = client.get("/metrics").text
    lines = [json.loads(line) for line in path.read_text().splitlines()][:4]
    assert [line["status"] for line in lines] == [401, 400, 400, 404]
    assert [line.get("model") for line in lines] == [None, "tiny", "tiny", None]
    assert [line["path"] for line in lines[:3:2]] == [
        f"POST {PREDICT}",
        "POST /v2/models/tiny/infer",
    ]
    assert all(re.fullmatch(r"127\.0\.0\.1:\d+", line["peer"]) for line in lines)
    assert 'code="INVALID_ARGUMENT",method="predict",model="tiny"' in text
    assert "made-up" not in text


@pytest.mark.skipif(not pathlib.Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_full_disk_costs_lines_and_no_requests(models):
    options = {"request_log": "/dev/full"}
    with server.running(models, **options) as url, httpx.Client(base_url=url) as client:
        assert [client.post(PREDICT, content=BODY).status_code for _ in range(5)] == [200] * 5
        time.sleep(0.2)  # the writer has a thread of its own
        text = client.get("/metrics").text
    count = float(text.partition("\ndlcv_request_log_dropped_total ")[2].split()[0])
    assert count >= 5


def test_a_file_that_was_moved_away_is_begun_anew(tmp_path):
    path, moved = tmp_path / "log", tmp_path / "log.1"
    written = RequestLog(Config(request_log=str(path)), dropped=pytest.fail)
    written.write(Call(request_id="first"))
    while not path.read_bytes():
        time.sleep(0.01)
    os.rename(path, moved)
    time.sleep(1.1)  # it looks once a second
    written.write(Call(request_id="second"))
    written.close()
    assert b'"first"' in moved.read_bytes() and b'"second"' in path.read_bytes()


def test_a_file_that_cannot_be_written_is_said_at_once(tmp_path):
    with pytest.raises(InputError, match="got request log .*, which cannot be written"):
        RequestLog(Config(request_log=str(tmp_path / "no" / "log")), dropped=pytest.fail)
