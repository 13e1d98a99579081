"""One loaded version of a model: named arrays in, named arrays out."""

import os
import pathlib

import numpy as np

from dlcv_tf.artifact import answers, manifest, pictures
from dlcv_tf.serve import executors
from dlcv_tf.serve.call import Call
from dlcv_tf.serve.config import Config
from dlcv_tf.serve.errors import invalid

DEFAULT_SIGNATURE = "serving_default"
BYTES_SIGNATURE = "image_bytes"


class Model:
    """An artifact, verified and loaded, run by an executor.

    `serving_default` takes pixels (`images`); `image_bytes` takes encoded pictures, decodes them by
    `artifact.pictures`, runs the same network, and adds the names of the classes; a class map it
    answers as a PNG file (`class_map_bytes`).

    Args:
        name: the name it is served under.
        version: the version it is served under.
        directory: the artifact.
        config: the server's options.

    Raises:
        ArtifactError: for an artifact that is incomplete or damaged, or that cannot be run.
    """

    def __init__(self, name: str, version: int, directory: str | os.PathLike, config: Config):
        self.name = name
        self.version = version
        self.manifest = manifest.verify(pathlib.Path(directory))
        self.executor = executors.load(directory, config)
        self._max_pixels = config.max_pixels

    def signature(self, name: str = "") -> dict[str, dict]:
        """Returns a signature of the manifest; the default one for an empty name.

        Raises:
            ServingError: INVALID_ARGUMENT if there is none of that name.
        """
        name = name or DEFAULT_SIGNATURE
        try:
            return self.manifest.signatures[name]
        except KeyError:
            message = f'Serving signature name: "{name}" not found in signature def'
            raise invalid(message) from None

    def predict(
        self, inputs: dict[str, np.ndarray], signature: str = "", call: Call | None = None
    ) -> dict[str, np.ndarray]:
        """Answers one request.

        Args:
            inputs: input name to array, as the signature names them; strings are object arrays of
                bytes.
            signature: its name, empty for the default one.
            call: the request, which gets the times and sizes that are measured here.

        Returns:
            Output name to array, in the signature's order. Strings are object arrays of str.

        Raises:
            ServingError: INVALID_ARGUMENT for a wrong shape, and for what is no picture;
                DEADLINE_EXCEEDED and UNAVAILABLE from the executor.
        """
        call = call or Call()
        expected = self.signature(signature)
        call.model, call.version = self.name, self.version
        call.signature = signature or DEFAULT_SIGNATURE
        call.pictures = len(next(iter(inputs.values())))
        for name, spec in expected["inputs"].items():
            _check_shape(name, inputs[name], spec["shape"])
        if signature == BYTES_SIGNATURE:
            outputs = self._answer_pictures(inputs["image_bytes"], call)
        else:
            outputs = self.executor(inputs["images"], call)
        if "labels" in expected["outputs"]:
            outputs["labels"] = answers.labels_of(outputs, self.manifest.labels)
        return {name: outputs[name] for name in expected["outputs"]}

    def close(self) -> None:
        """Gives back what the version holds; it answers no more."""
        self.executor.close()

    def _answer_pictures(self, files: np.ndarray, call: Call) -> dict[str, np.ndarray]:
        """Decodes and answers encoded pictures, which may be of different sizes."""
        with call.stage("decode"):
            images = self._decode(files)
        by_size: dict[tuple, list[int]] = {}
        for index, image in enumerate(images):
            by_size.setdefault(image.shape, []).append(index)
        # Pictures of one size run as one batch; the network itself resizes them, exactly as it does
        # for pixel values.
        groups = [
            self.executor(np.stack([images[i] for i in group]), call) for group in by_size.values()
        ]
        for group in groups:
            if "class_map" in group:  # of the picture's own size: no array holds those of all
                files = [answers.png(one) for one in group.pop("class_map")]
                group["class_map_bytes"] = np.array(files, dtype=object)
        order = np.argsort(np.concatenate(list(by_size.values())))
        return {
            name: np.concatenate([group[name] for group in groups])[order] for name in groups[0]
        }

    def _decode(self, files: np.ndarray) -> list[np.ndarray]:
        channels = self.manifest.preprocessing["channels"]
        images, pixels = [], 0
        for index, data in enumerate(files):
            try:
                image = pictures.decode(data, channels, self._max_pixels)
            except pictures.PictureError as error:
                raise invalid(f"picture {index} of {len(files)}: {error}") from error
            pixels += image.shape[0] * image.shape[1]
            if pixels > self._max_pixels:
                raise invalid(
                    f"got {index + 1} pictures of together {pixels / 1e6:.1f} megapixels, expected "
                    f"at most {self._max_pixels / 1e6:g} in one request: send fewer at once"
                )
            images.append(image)
        return images


def _check_shape(name: str, array: np.ndarray, expected: list[int | None]) -> None:
    fits = len(array.shape) == len(expected) and all(
        want in (None, got) for got, want in zip(array.shape, expected, strict=True)
    )
    if not fits or not array.size:
        sizes = ", ".join("any" if size is None else str(size) for size in expected)
        raise invalid(
            f"got {name} of shape {array.shape}, expected ({sizes}), not empty: the first axis "
            "counts the pictures, even if there is only one"
        )
