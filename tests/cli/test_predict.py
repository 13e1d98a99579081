"""`dlcv predict` with detectors and segmenters: a line for each thing, JSON, drawings."""

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

from dlcv_tf.cli import export, main
from tests.artifact import tiny, tiny_places


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    directory = tmp_path_factory.mktemp("predict")
    tiny_places.detector(directory)
    tiny_places.segmenter(directory)
    (directory / "wide.png").write_bytes(tiny.encoded(tiny.ramp(12, 40)))
    (directory / "tall.png").write_bytes(tiny.encoded(tiny.ramp(30, 8)))
    return directory


def predict(workplace, capsys, *arguments, expect=0):
    command = ["predict", *(str(workplace / one) for one in arguments if one[0] != "-")]
    command += [one for one in arguments if one[0] == "-"]
    assert main.main(command) == expect
    return capsys.readouterr()


def test_a_line_for_each_thing_above_the_score(workplace, capsys):
    out = predict(workplace, capsys, "boxes", "wide.png", "tall.png").out
    first, second, third, _ = out.splitlines()
    assert first.endswith("wide.png: disc 0.900 at 0.0 0.0 20.0 12.0")
    assert second.endswith("wide.png: cell 0.400 at 10.0 3.0 30.0 9.0")
    assert third.endswith("tall.png: disc 0.900 at 0.0 0.0 4.0 30.0")
    out = predict(workplace, capsys, "boxes", "wide.png", "--score=0.5").out
    assert len(out.splitlines()) == 1
    out = predict(workplace, capsys, "boxes", "wide.png", "--score=0.95").out
    assert out.strip().endswith("wide.png: nothing found")


def test_json_has_an_entry_for_each_thing(workplace, capsys):
    out = predict(workplace, capsys, "boxes", "wide.png", "none.png", "--json", expect=2).out
    (one,) = json.loads(out)["predictions"]
    assert one["things"][1] == {"label": "cell", "score": 0.4, "box": [10.0, 3.0, 30.0, 9.0]}


def test_a_class_map_is_told_by_shares_and_given_as_png(workplace, capsys):
    expected = tiny.ramp(12, 40)[..., 0] > 127
    out = predict(workplace, capsys, "maps", "wide.png").out
    assert out.splitlines()[0].endswith(f"rest {1 - expected.mean():.1%}")
    (one,) = json.loads(predict(workplace, capsys, "maps", "wide.png", "--json").out)["predictions"]
    data = base64.b64decode(one["class_map"]["b64"])
    np.testing.assert_array_equal(Image.open(io.BytesIO(data)), expected.astype(np.uint8))


@pytest.mark.parametrize("model", ["boxes", "maps"])
def test_pictures_of_different_sizes_are_drawn(workplace, capsys, model):
    path = workplace / f"{model}.png"
    predict(workplace, capsys, model, "wide.png", "tall.png", f"--draw={path}")
    drawn = np.asarray(Image.open(path))[..., :3]
    assert drawn.std() > 10 and min(drawn.shape[:2]) > 200


def test_a_manifest_does_not_tell_where_a_users_folder_lies():
    facts = {"recipe": {"data": "voc:/a b/c/cells?x=1"}, "skipped": ["/a b/c/cells/1.xml: no box"]}
    assert export._portable(facts, "voc:/a b/c/cells?x=1") == {
        "recipe": {"data": "voc:cells?x=1"},
        "skipped": ["cells/1.xml: no box"],
    }
    assert export._portable({"data": "digits"}, "digits") == {"data": "digits"}
