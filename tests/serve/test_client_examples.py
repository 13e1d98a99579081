"""The clients of `serving/clients`, each run as its user would, against the shipped models."""

import functools
import http.server
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import threading

import numpy as np
import pytest

from dlcv_tf.artifact import pictures
from dlcv_tf.serve import server
from dlcv_tf.serve.client import Client
from tests.artifact import tiny
from tests.serve import artifacts

ROOT = pathlib.Path(__file__).parents[2]
SHIPPED = ROOT / "savedmodels"
CLIENTS = ROOT / "serving" / "clients"
SAMPLES = ROOT / "dlcv_tf" / "serve" / "page" / "samples"  # drawn, not photographs


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """The shipped models, and one that answers pictures."""
    models = tmp_path_factory.mktemp("models")
    for name in ("bccd_ssd", "camvid_unet", "cifar10_airbench"):
        (models / name).symlink_to(SHIPPED / name)
    artifacts.negative(models)
    return models


@pytest.fixture(scope="module")
def site(models):
    with server.running(models, cors=True) as url:
        yield url


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    path = tmp_path_factory.mktemp("picture") / "a picture.jpg"
    path.write_bytes(tiny.encoded(tiny.ramp(60, 80), "JPEG"))
    return path


def run(*command, **variables) -> subprocess.CompletedProcess:
    environment = os.environ | variables
    return subprocess.run(
        [*map(str, command)], capture_output=True, text=True, timeout=60, env=environment
    )


def curl(*arguments, **variables) -> subprocess.CompletedProcess:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    return run("sh", CLIENTS / "curl.sh", *arguments, **variables)


def test_curl_calls_in_every_way(site, picture, tmp_path):
    ran = curl(site, picture, tmp_path / "classes.png")
    assert (ran.returncode, ran.stderr) == (0, "")
    parts = re.split(r"^== .*\n", ran.stdout, flags=re.MULTILINE)[1:]
    answers = [json.loads(part) for part in parts[:2] + parts[3:8]]
    by_file, boxes, by_base64, of_pixels, classified, by_kserve, by_kserve_file = answers
    (named,) = by_file["predictions"]
    assert len(named["labels"]) == 5
    assert by_base64 == by_file
    assert np.shape(boxes["predictions"][0]["boxes"])[1:] == (4,)
    class_map = pictures.decode((tmp_path / "classes.png").read_bytes())
    assert class_map.shape == (60, 80, 3) and class_map.max() < 32
    assert classified["results"][0][0] == [named["labels"][0], named["scores"][0]]
    arrays = {output["name"]: output["data"] for output in by_kserve["outputs"]}
    expected = of_pixels["predictions"][0]["probabilities"]
    np.testing.assert_allclose(arrays["probabilities"], expected, rtol=1e-4)
    arrays = {output["name"]: output["data"] for output in by_kserve_file["outputs"]}
    assert arrays["labels"] == named["labels"]
    assert '"AVAILABLE"' in parts[8] and "image_bytes" in parts[8]
    assert '{"ready": true}' in parts[9] and "openapi" in parts[9]
    assert "dlcv_requests_total" in parts[9]


def test_curl_ends_at_the_first_error(site, picture, tmp_path):
    nothing = tmp_path / "classes.png"
    ran = curl()
    assert (ran.returncode, ran.stdout) == (2, "") and ran.stderr.startswith("usage: ")
    ran = curl(site, tmp_path / "no.jpg", nothing)
    assert (ran.returncode, ran.stdout) == (2, "") and "no.jpg" in ran.stderr
    notes = tmp_path / "notes.jpg"
    notes.write_text("hello")
    ran = curl(site, notes, nothing)
    assert ran.returncode == 22 and "400" in ran.stderr
    assert "5 bytes that are no picture" in ran.stdout and ran.stdout.count("== ") == 1
    assert not nothing.exists()


def test_curl_and_python_bring_the_token(models, picture, tmp_path):
    with server.running(models, token="s3cret") as url:
        for command in (
            ["sh", CLIENTS / "curl.sh", url, picture, tmp_path / "classes.png"],
            [sys.executable, CLIENTS / "python_client.py", url, picture],
        ):
            assert run(*command, TOKEN="s3cret").returncode == 0
            ran = run(*command)
            assert ran.returncode != 0
            assert "expected the header Authorization" in ran.stdout + ran.stderr


def test_python_asks_every_model(site, picture):
    ran = run(sys.executable, CLIENTS / "python_client.py", site, picture, SAMPLES / "cells.png")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert f"bccd_ssd, {SAMPLES / 'cells.png'}:\n    WBC" in ran.stdout
    assert "a picture of 60 x 80 pixels" in ran.stdout
    assert re.search(r"camvid_unet, .*\n    [a-z]+ +\d+\.\d%", ran.stdout)
    assert "cifar10_airbench: 10 things" in ran.stdout
    assert run(sys.executable, CLIENTS / "python_client.py").returncode != 0
    ran = run(sys.executable, CLIENTS / "python_client.py", site, "no.jpg")
    assert ran.returncode == 1 and ran.stderr.startswith("cannot read picture no.jpg")


@pytest.fixture(scope="module")
def origin():
    """Another origin than the server's, with the page."""
    handler = functools.partial(Quiet, directory=CLIENTS)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as pages:
        thread = threading.Thread(target=pages.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{pages.server_port}"
        pages.shutdown()
        thread.join()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def page(browser, origin):
    """The page; at the end nothing may have gone wrong in it but what it shows itself."""
    context = browser.new_context()
    opened, said = context.new_page(), []
    opened.set_default_timeout(10_000)
    opened.on("pageerror", lambda error: said.append(str(error)))
    opened.goto(f"{origin}/browser.html")
    yield opened
    context.close()
    assert said == []


def choose(page, url: str, model: str, file: pathlib.Path) -> str:
    """Chooses server, model and picture; returns what is listed, once it was answered."""
    page.fill("#server", url)
    page.dispatch_event("#server", "change")
    page.wait_for_selector(f"#model option[value={model}]", state="attached")
    page.select_option("#model", model)
    with page.expect_response(re.compile(f"{model}:predict")):
        page.set_input_files("#file", file)
    page.wait_for_function("document.getElementById('canvas').width > 0")
    return page.inner_text("#list")


def pixel(page, row: int, column: int) -> np.ndarray:
    """Returns a pixel of the canvas: red, green, blue."""
    script = "([x, y]) => [...canvas.getContext('2d').getImageData(x, y, 1, 1).data]"
    return np.array(page.evaluate(script, [column, row])[:3])


def test_a_page_of_another_origin_lists_classes(page, site):
    assert choose(page, site, "cifar10_airbench", SAMPLES / "ship.png").startswith("ship")


def test_it_draws_boxes(page, site):
    lines = choose(page, site, "bccd_ssd", SAMPLES / "cells.png").split("\n")
    with Client(site) as client:
        answer = client.answer("bccd_ssd", SAMPLES / "cells.png")
    assert [line.split()[0] for line in lines] == [thing["label"] for thing in answer.things]
    x1, y1, _, y2 = answer.things[0]["box"]
    sample = pictures.decode((SAMPLES / "cells.png").read_bytes())
    edge = round((y1 + y2) / 2), round(x1)
    assert np.abs(pixel(page, *edge) - sample[edge]).max() > 50


def test_it_lays_class_maps_over_and_shows_pictures(page, site, tmp_path):
    street = SAMPLES / "street.png"
    choose(page, site, "camvid_unet", street)
    with Client(site) as client:
        class_map = client.answer("camvid_unet", street).arrays["class_map"]
    sample = pictures.decode(street.read_bytes())
    row, column = class_map.shape[0] - 9, class_map.shape[1] // 2
    colour = (40 + np.array([67, 151, 211]) * int(class_map[row, column])) % 256
    expected = sample[row, column] + (colour - sample[row, column]) * 150 / 255
    np.testing.assert_allclose(pixel(page, row, column), expected, atol=3)
    black = tmp_path / "black.png"
    black.write_bytes(tiny.encoded(np.zeros((40, 40, 3), np.uint8)))
    page.select_option("#model", "negative")
    page.set_input_files("#file", black)
    page.wait_for_function("canvas.width === 40")
    assert pixel(page, 9, 9).tolist() == [255] * 3


def test_it_says_what_is_wrong(page, site, models, tmp_path):
    notes = tmp_path / "notes.txt"
    notes.write_text("hello")
    page.fill("#server", site)
    page.dispatch_event("#server", "change")
    page.wait_for_selector("#model option", state="attached")
    page.set_input_files("#file", notes)
    page.wait_for_function("document.getElementById('error').textContent.includes('no picture')")
    with server.running(models, token="s3cret") as closed:  # and without --cors
        page.fill("#server", closed)
        page.dispatch_event("#server", "change")
        page.wait_for_function("document.getElementById('error').textContent.includes('--cors?')")
