"""The web page, in a real browser: every kind of answer, token, errors, a phone; and its files."""

import base64
import importlib.resources
import io
import pathlib
import re
import socket
import urllib.parse

import httpx
import numpy as np
import pytest
from PIL import Image

from dlcv_tf.artifact import pictures
from dlcv_tf.serve import page as served
from dlcv_tf.serve import server
from tests.artifact import tiny
from tests.serve import artifacts

SHIPPED = pathlib.Path(__file__).parents[2] / "savedmodels"
JOINTS = np.float32([[0.5, 0.1, 0.9], [0.5, 0.6, 0.8], [0.2, 0.9, 0.1]])
MASK = np.float32([[0, 0, 0, 0], [0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0]])


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A server with the shipped models, and a small one for each kind of answer they lack."""
    models = tmp_path_factory.mktemp("models")
    for name in ("bccd_ssd", "camvid_unet", "cifar10_airbench"):
        (models / name).symlink_to(SHIPPED / name)
    tiny.artifact(models, "tiny", 1)
    damaged = tiny.artifact(models, "tiny", 2) / "model.onnx"
    damaged.write_bytes(b"\0" + damaged.read_bytes()[1:])
    artifacts.negative(models)
    artifacts.constant(
        models,
        "pose",
        "PoseEstimator",
        {"joints": JOINTS * np.float32([40, 40, 1])},
        ["a", "b", "c"],
    )
    boxes = np.float32([[4, 4, 36, 36], [0, 0, 0, 0]])
    found = {"boxes": boxes, "scores": np.float32([0.9, 0]), "classes": np.int32([1, 0])}
    found |= {"num_detections": np.int32(1), "masks": np.stack([MASK, MASK])}
    artifacts.constant(models, "things", "InstanceSegmenter", found, ["one", "other"])
    found = {"classes": np.int32([1, 0]), "scores": np.float32([0.8, 0.2]), "box": boxes[0]}
    artifacts.constant(models, "place", "Localizer", found, ["one", "other"])
    artifacts.constant(models, "odd", "Captioner", {"lengths": np.float32([1, 2])}, ["one"])
    with server.running(models) as base:
        yield base


@pytest.fixture
def visit(browser):
    """Opens the page of a server; at the end nothing may have gone wrong, or gone elsewhere."""
    contexts, said, requests = [], [], []

    def open_page(base: str, **options):
        contexts.append(browser.new_context(**options))
        page = contexts[-1].new_page()
        page.set_default_timeout(10_000)
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(base)
        return page

    yield open_page
    for context in contexts:
        context.close()
    # Chromium itself notes every answer of an error's status; anything else is a mistake.
    assert [text for text in said if "Failed to load resource" not in text] == []
    hosts = {urllib.parse.urlsplit(each).hostname for each in requests if each[:5] != "blob:"}
    assert hosts <= {"127.0.0.1"}


def ask(page, model: str, sample: str) -> str:
    """Has a sample answered; returns what is listed of the answer."""
    page.wait_for_selector("#samples button")
    page.select_option("#model", model)  # which asks for the picture that is there already
    page.wait_for_selector("#result:not(.waiting)", state="attached")
    with page.expect_response(re.compile(":predict")):
        page.click(f"[data-sample={sample}]")
    page.wait_for_selector("#result:not(.waiting) canvas")
    return page.inner_text("#list")


def pixels(page, number: int = 0) -> np.ndarray:
    """Returns the pixels (height, width, 4) of a canvas."""
    picture = page.evaluate(
        "number => document.querySelectorAll('#pictures canvas')[number].toDataURL()", number
    )
    data = base64.b64decode(picture.partition(",")[2])
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGBA"))


def slide(page, value: float) -> None:
    page.locator("#controls input").fill(str(value))


def test_a_classifier_names_the_ship(visit, site):
    page = visit(site)
    lines = ask(page, "cifar10_airbench/1", "ship").split("\n")
    assert lines[0] == "ship" and len(lines) == 10
    assert page.get_attribute("#samples button:first-child", "data-sample") == "ship"
    times = page.inner_text("#times")
    assert "round trip" in times and "decode" in times and "run" in times


def test_a_detector_draws_boxes_from_a_score_on(visit, site):
    page = visit(site)
    assert re.search(r"RBC\s+1\d × up to 9\d %\s+WBC\s+1 ×", ask(page, "bccd_ssd/1", "cells"))
    drawn = pixels(page)
    label = page.get_attribute("#pictures canvas", "aria-label")
    assert "RBC, 1 WBC" in label
    slide(page, 1)
    assert "Nothing with a score of 100 %" in page.inner_text("#list")
    assert (pixels(page) != drawn).any()


def test_a_segmenter_lays_its_classes_over_the_picture(visit, site):
    page = visit(site)
    shown = ask(page, "camvid_unet/1", "street")
    assert {"road", "sky", "car"} <= set(shown.split("\n"))
    half = pixels(page)
    slide(page, 0)
    bare = pixels(page)
    assert (half != bare).any(axis=-1).mean() > 0.9
    slide(page, 1)
    road = page.locator("#list button").first
    road.click()
    alone = (pixels(page) != bare).any(axis=-1).mean()
    share = float(re.search(r"(\d+) %", road.inner_text())[1]) / 100
    assert alone == pytest.approx(share, abs=0.02)
    page.mouse.move(0, 0)
    area = page.locator("#pictures canvas").bounding_box()
    page.mouse.move(area["x"] + area["width"] / 2, area["y"] + area["height"] - 9)
    assert page.inner_text(".tip") == "road"


def test_places_joints_masks_and_pictures_are_drawn(visit, site):
    page = visit(site)
    assert ask(page, "place/1", "digit").split("\n")[:2] == ["other", "80 %"]
    box = pixels(page)
    shown = ask(page, "pose/1", "digit").split("\n")
    assert shown == ["a", "90 %", "b", "80 %"]  # the third is below the least score
    assert pixels(page)[40, 200].tolist()[:3] == [255, 255, 255]  # a joint, ten times enlarged
    assert (pixels(page) != box).any()
    assert "other" in ask(page, "things/1", "digit")
    tinted = pixels(page)
    slide(page, 1)
    bare = pixels(page)
    assert (tinted[200, 130] != bare[200, 130]).any()  # within the mask
    assert (tinted[70, 320] == bare[70, 320]).all()  # within the box, outside of the mask
    ask(page, "negative/1", "digit")
    given, answered = pixels(page, 0), pixels(page, 1)
    np.testing.assert_allclose(answered[..., :3], 255 - given[..., :3], atol=2)
    assert page.locator("figcaption").all_inner_texts() == ["Given", "Answered"]
    assert "no drawing for answers of this kind" in ask(page, "odd/1", "digit")


def test_versions_are_listed_with_what_is_wrong(visit, site):
    page = visit(site)
    page.wait_for_selector("#rows tr")
    rows = page.locator("#rows").inner_text()
    assert re.search(r"tiny\s+2\s+refused\s+.*does not match its checksum", rows, re.DOTALL)
    assert re.search(r"bccd_ssd\s+1\s+serves\s+Detector\s+(onnx|tflite)", rows)


def test_errors_are_shown_as_the_server_says_them(visit, site):
    page = visit(site)
    page.wait_for_selector("#samples button")
    broken = {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"hello world"}
    page.set_input_files("#file", broken)
    page.wait_for_selector("#error:not([hidden])")
    said = page.inner_text("#error")
    assert said.startswith("got 11 bytes that are no picture, expected one of JPEG")
    ask(page, "tiny/1", "digit")
    assert page.is_hidden("#error")


def test_a_chosen_file_is_answered_and_again_by_another_model(visit, site):
    page = visit(site)
    page.wait_for_selector("#samples button")
    page.select_option("#model", "tiny/1")
    data = tiny.encoded(tiny.ramp(12, 16))
    page.set_input_files("#file", {"name": "a.png", "mimeType": "image/png", "buffer": data})
    page.wait_for_selector("#result:not(.waiting) canvas")
    expected = tiny.probabilities(tiny.ramp(12, 16)[None])[0]
    assert page.inner_text("#list").split("\n")[0] == tiny.LABELS[int(expected.argmax())]
    with page.expect_response(re.compile("negative/versions/1:predict")):
        page.select_option("#model", "negative/1")
    page.wait_for_selector("figcaption")


HANDED = """([name, type, text]) => {
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const handed = new DataTransfer();
    handed.items.add(new File([bytes], name, { type }));
    return handed;
}"""
COPY = """async (text) => {
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const item = new ClipboardItem({ "image/png": new Blob([bytes], { type: "image/png" }) });
    await navigator.clipboard.write([item]);
}"""


def test_a_picture_is_dropped_or_pasted(visit, site):
    page = visit(site)
    page.wait_for_selector("#samples button")
    page.select_option("#model", "negative/1")
    dropped, pasted = tiny.ramp(12, 16), tiny.ramp(16, 12)
    text = base64.b64encode(tiny.encoded(dropped)).decode()
    transfer = page.evaluate_handle(HANDED, ["a.png", "image/png", text])
    page.dispatch_event("body", "dragover", {"dataTransfer": transfer})
    assert page.evaluate("document.body.classList.contains('dropping')")
    page.dispatch_event("body", "drop", {"dataTransfer": transfer})
    page.wait_for_selector("#result:not(.waiting) canvas")
    assert not page.evaluate("document.body.classList.contains('dropping')")
    is_negative(page, 255 - dropped)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.evaluate(COPY, base64.b64encode(tiny.encoded(pasted)).decode())
    with page.expect_response(re.compile("negative/versions/1:predict")):
        page.keyboard.press("Control+V")
    page.wait_for_selector("#result:not(.waiting) canvas")
    is_negative(page, 255 - pasted)
    notes = page.evaluate_handle(HANDED, ["a.txt", "text/plain", ""])
    page.evaluate("notes => dispatchEvent(new ClipboardEvent('paste', notes))", notes)
    assert page.is_hidden("#error")  # what is no picture is not pasted


def is_negative(page, expected: np.ndarray) -> None:
    """Whether the answer is that picture, and the one beside it its negative."""
    given, answered = pixels(page, 0)[..., :3], pixels(page, 1)[..., :3]
    height, width = expected.shape[:2]
    assert answered.shape[0] * width == answered.shape[1] * height
    step = answered.shape[0] / height
    places = (np.arange(max(height, width)) * step + step / 2).astype(int)
    sampled = answered[places[:height]][:, places[:width]]
    np.testing.assert_allclose(sampled, expected, atol=12)
    np.testing.assert_allclose(255 - given.astype(int), answered, atol=12)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_page_and_server_agree_which_way_is_up(visit, site, format):
    """The server reads the orientation of a camera's JPEG, and no other format's."""
    page = visit(site)
    page.wait_for_selector("#samples button")
    page.select_option("#model", "negative/1")
    for orientation in (1, 3, 5, 6, 8):
        exif = Image.Exif()
        exif[pictures.ORIENTATION_TAG] = orientation
        picture = Image.fromarray(tiny.ramp(12, 16).repeat(4, axis=0).repeat(4, axis=1))
        exact = {"JPEG": {"quality": 98}, "PNG": {}, "WEBP": {"lossless": True}}[format]
        data = tiny.encoded(picture, format, exif=exif, **exact)
        name, kind = f"a.{format.lower()}", f"image/{format.lower()}"
        with page.expect_response(re.compile("negative/versions/1:predict")):
            page.set_input_files("#file", {"name": name, "mimeType": kind, "buffer": data})
        page.wait_for_selector("#result:not(.waiting) canvas")
        is_negative(page, 255 - pictures.decode(data).astype(int))


def test_the_token_is_asked_for_kept_in_the_tab_and_forgotten(visit, tmp_path):
    tiny.artifact(tmp_path)
    with server.running(tmp_path, token="s3cret") as base:
        assert httpx.get(base + served.MODELS_PATH).status_code == 401
        page = visit(base)
        page.fill("#token", "wrong")
        page.keyboard.press("Enter")
        page.wait_for_selector("#token-error:not([hidden])")
        assert "got another token" in page.inner_text("#token-error")
        page.fill("#token", "s3cret")
        page.keyboard.press("Enter")
        assert ask(page, "tiny/1", "digit").count("%") == 5
        page.reload()
        page.wait_for_selector("#samples button")
        assert page.evaluate("[sessionStorage.length, localStorage.length]") == [1, 0]
        page.click("#forget")
        page.wait_for_selector("#token-form:not([hidden])")
        assert page.evaluate("sessionStorage.length") == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_it_whole_and_a_keyboard_reaches_all(visit, site, scheme):
    page = visit(site, viewport={"width": 360, "height": 740}, color_scheme=scheme)
    ask(page, "bccd_ssd/1", "cells")
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    page.focus("#model")
    reached = []
    for _ in range(7):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate("document.activeElement.id || document.activeElement.dataset.sample")
        )
    assert reached == ["file", "cells", "street", "ship", "digit", "shapes", "figure"]


def test_the_files_have_their_types_tags_and_policy(client):
    root = importlib.resources.files("dlcv_tf.serve") / "page"
    assert {path for path in served.FILES if path.endswith(".png")} == {
        f"/page/samples/{each.name}" for each in (root / "samples").iterdir()
    }
    for path, file in served.FILES.items():
        answer = client.get(path)
        assert (answer.status_code, answer.content) == (200, file.body)
        assert answer.headers["content-type"] == file.content_type
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'; script-src 'self'" in answer.headers["content-security-policy"]
        again = client.get(path, headers={"if-none-match": answer.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        assert "content-length" not in again.headers
        assert client.head(path).content == b""
        assert client.post(path, content=b"").status_code == 405


@pytest.mark.parametrize(
    "path", ["/page/", "/page/samples/", "/page/../app.py", "/page/%2e%2e/app.py", "/page//page.js",
             "/page/samples/../../config.py", "/page", "/index.html"]
)  # fmt: skip
def test_nothing_else_is_served(client, path):
    host, port = client.base_url.host, client.base_url.port
    with socket.create_connection((host, port), timeout=10) as connection:  # as it stands
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        assert b" 404 " in connection.makefile("rb").readline()


def test_the_models_say_what_they_can_do(client):
    values = client.get(served.MODELS_PATH).json()
    models = {model["name"]: model for model in values["models"]}
    newest, serving = models["tiny"]["versions"][:2]
    assert newest["state"] == "END" and "checksum" in newest["error"] and "kind" not in newest
    assert (serving["kind"], serving["classes"]) == ("classes", tiny.LABELS)
    assert client.post(served.MODELS_PATH).status_code == 404
