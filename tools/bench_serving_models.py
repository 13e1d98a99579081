"""The ways to ask `dlcv serve` for a shipped model that `tools/bench_serving.py` measures."""

import io
import json
import pathlib

import bench_serving_net as net
import numpy as np
from bench_serving_load import Way
from PIL import Image

from dlcv_tf.artifact.manifest import Manifest


def ways(models: pathlib.Path, name: str) -> list[Way]:
    """Returns JSON, a picture file and KServe's bytes, for a picture of the model's own size.

    A class map is asked for as PNG where the request is a picture file, and as bytes where it is
    bytes; as JSON it is numbers.
    """
    folder = max((path for path in (models / name).iterdir()), key=lambda path: int(path.name))
    manifest = Manifest.load(folder)
    height, width = manifest.preprocessing["size"]
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (6, 8, 3), np.uint8)  # smooth, so that JPEG is of usual size
    image = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    pixels = np.asarray(image)[None]
    file = io.BytesIO()
    image.save(file, "JPEG", quality=90)
    body, length = net.kserve_body("images", pixels)
    picture = {"Content-Type": "image/jpeg"}
    if "class_map" in manifest.signatures["serving_default"]["outputs"]:
        picture["Accept"] = "image/png"
    headers = {"Content-Type": "application/octet-stream"}
    headers["Inference-Header-Content-Length"] = str(length)
    path = f"/v1/models/{name}:predict"
    document = json.dumps({"instances": pixels.tolist()}).encode()
    return [
        Way("JSON, pixel values", path, document, {"Content-Type": "application/json"}),
        Way("JPEG file", path, file.getvalue(), picture),
        Way("KServe v2, bytes", f"/v2/models/{name}/infer", body, headers),
    ]
