"""One loaded version of a model: named arrays in, named arrays out."""

import contextlib
import os
import pathlib
from collections.abc import Collection, Iterator

import numpy as np

from dlcv_tf.artifact import answers, examples, manifest, pictures
from dlcv_tf.errors import InputError
from dlcv_tf.serve import memory, tuning, warmup
from dlcv_tf.serve.call import Call
from dlcv_tf.serve.config import Config
from dlcv_tf.serve.errors import Code, ServingError, invalid
from dlcv_tf.serve.statistics import Statistics

DEFAULT_SIGNATURE = "serving_default"
BYTES_SIGNATURE = "image_bytes"
CLASSIFY_SIGNATURE = "classify"
CLASSIFY_METHOD = "tensorflow/serving/classify"


class Model:
    """An artifact, verified and loaded, run by an executor.

    `serving_default` takes pixels (`images`); `image_bytes` takes encoded pictures, decodes them by
    `artifact.pictures`, runs the same network, and adds the names of the classes; a class map, or
    another picture, it answers as a PNG file (`class_map_bytes`). TensorFlow, where it is the
    executor, does all that itself, in the graph. A classifier also has `classify`: of tf.Example
    protos with a picture file as their feature `image_bytes`, it answers names and scores of
    classes.

    `signatures` are all of them, as in the manifest; TF Serving's method of one is its `method`,
    predict where it has none.

    Args:
        name: the name it is served under.
        version: the version it is served under.
        directory: the artifact.
        config: the server's options.

    Raises:
        ArtifactError: for an artifact that is incomplete or damaged, or that cannot be run.
        InputError: for an executor that the artifact has no file for, or that is not installed.
    """

    def __init__(self, name: str, version: int, directory: str | os.PathLike, config: Config):
        self.name = name
        self.version = version
        self.manifest = manifest.verify(pathlib.Path(directory))
        self.signatures: dict[str, dict] = _signatures(self.manifest)
        self.executor = tuning.load(f"{name}/{version}", directory, self.manifest, config)
        self.statistics = Statistics()
        self._directory = directory
        self._max_pixels = config.max_pixels
        self._pixels = memory.pixels(config)
        self._byte_outputs = self.signatures.get(BYTES_SIGNATURE, {}).get("outputs", {})

    def warm_up(self) -> None:
        """Runs the artifact's warm-up requests, so that the first real one is as fast as the rest.

        Raises:
            ArtifactError: if one of them cannot be answered.
            ServingError: UNAVAILABLE and DEADLINE_EXCEEDED, which another try may mend.
        """
        for signature, inputs in warmup.requests(self._directory, self.manifest):
            try:
                self.predict(inputs, signature)
            except (ServingError, InputError) as error:
                if getattr(error, "code", None) in (Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED):
                    raise
                raise manifest.ArtifactError(
                    f"{self.name}/{self.version} fails at a warm-up request of signature "
                    f"{signature or DEFAULT_SIGNATURE}: {error}"
                ) from error
        self.executor.executed = self.statistics.executed  # what nobody asked for is not counted

    def signature(self, name: str = "") -> dict[str, dict]:
        """Returns a signature; the default one for an empty name.

        Raises:
            ServingError: INVALID_ARGUMENT if there is none of that name.
        """
        name = name or DEFAULT_SIGNATURE
        try:
            return self.signatures[name]
        except KeyError:
            message = f'Serving signature name: "{name}" not found in signature def'
            raise invalid(message) from None

    def predict(
        self,
        inputs: dict[str, np.ndarray],
        signature: str = "",
        call: Call | None = None,
        outputs: Collection[str] | None = None,
    ) -> dict[str, np.ndarray]:
        """Answers one request.

        Args:
            inputs: input name to array, as the signature names them; strings are object arrays of
                bytes.
            signature: its name, empty for the default one.
            call: the request, which gets the times and sizes that are measured here.
            outputs: names of the outputs that are wanted; None for all.

        Returns:
            Output name to array, in the signature's order. Strings are object arrays of str, those
            whose name ends in `_bytes` of bytes.

        Raises:
            ServingError: INVALID_ARGUMENT for a wrong shape or name, and for what is no picture;
                DEADLINE_EXCEEDED and UNAVAILABLE from the executor.
            InputError: for a wrong type.
        """
        call = call or Call()
        expected = self.signature(signature)
        call.model, call.version = self.name, self.version
        call.signature = signature = signature or DEFAULT_SIGNATURE
        for name, spec in expected["inputs"].items():
            if name not in inputs:
                raise invalid(f"got no input {name}, expected {[*expected['inputs']]}")
            _check_shape(name, inputs[name], spec["shape"])
        call.pictures = len(inputs[name])
        wanted = expected["outputs"]
        if outputs is not None:
            if unknown := set(outputs) - wanted.keys():
                raise invalid(f"got outputs {sorted(unknown)}, expected some of {[*wanted]}")
            wanted = [name for name in wanted if name in outputs]
        if signature == CLASSIFY_SIGNATURE and signature not in self.manifest.signatures:
            files = examples.feature(inputs["inputs"], "image_bytes")
            found = self._answer_files(files, call)
            found["classes"] = found.pop("labels")
        elif signature == BYTES_SIGNATURE:
            found = self._answer_files(inputs["image_bytes"], call)
        elif signature == DEFAULT_SIGNATURE:
            found = self.executor(inputs["images"], call)
        else:
            found = self._run_in_graph(signature, inputs, call)
        return {name: found[name] for name in wanted}

    def close(self) -> None:
        """Gives back what the version holds; it answers no more."""
        self.executor.close()

    def _answer_files(self, files: np.ndarray, call: Call) -> dict[str, np.ndarray]:
        """Answers encoded pictures, with the names of the classes where there are some."""
        with call.stage("decode"):
            pixels = self._count_pixels(files)
        with self._pixels.hold(pixels, call):
            if BYTES_SIGNATURE in getattr(self.executor, "signatures", ()):
                return self._run_in_graph(BYTES_SIGNATURE, {"image_bytes": files}, call)
            found = self._answer_pictures(files, call)
        if "classes" in found:
            found["labels"] = answers.labels_of(found, self.manifest.labels)
        return found

    def _run_in_graph(
        self, signature: str, inputs: dict[str, np.ndarray], call: Call
    ) -> dict[str, np.ndarray]:
        """Runs a signature that the executor knows itself."""
        if signature not in getattr(self.executor, "signatures", ()):
            raise ServingError(
                Code.UNIMPLEMENTED,
                f"signature {signature} is run by TensorFlow alone: serve with --executor "
                f"tensorflow, not {self.executor.name}",
            )
        found = self.executor.run(signature, inputs, call)
        return {
            name: values
            if values.dtype != object or name.endswith("_bytes")
            else np.array([text.decode(errors="replace") for text in values.flat], object).reshape(
                values.shape
            )
            for name, values in found.items()
        }

    def _answer_pictures(self, files: np.ndarray, call: Call) -> dict[str, np.ndarray]:
        """Decodes and answers encoded pictures, which may be of different sizes."""
        channels, images = self.manifest.preprocessing["channels"], []
        with call.stage("decode"):
            for index, data in enumerate(files):
                with _naming(index, files):
                    images.append(pictures.decode(data, channels, self._max_pixels))
        by_size: dict[tuple, list[int]] = {}
        for index, image in enumerate(images):
            by_size.setdefault(image.shape, []).append(index)
        # Pictures of one size run as one batch; the network itself resizes them, exactly as it does
        # for pixel values.
        groups = [
            self.executor(np.stack([images[i] for i in group]), call) for group in by_size.values()
        ]
        for group in groups:
            for name in [name for name in group if f"{name}_bytes" in self._byte_outputs]:
                # Pictures of the asked ones' own sizes: no array holds those of all.
                files = [answers.png(one) for one in group.pop(name)]
                group[f"{name}_bytes"] = np.array(files, dtype=object)
        order = np.argsort(np.concatenate(list(by_size.values())))
        return {
            name: np.concatenate([group[name] for group in groups])[order] for name in groups[0]
        }

    def _count_pixels(self, files: np.ndarray) -> int:
        """Returns the pixels of all pictures, read from their headers alone."""
        pixels = 0
        for index, data in enumerate(files):
            with _naming(index, files):
                height, width = pictures.size(data, self._max_pixels)
            pixels += height * width
            if pixels > self._max_pixels:
                raise invalid(
                    f"got {index + 1} pictures of together {pixels / 1e6:.1f} megapixels, expected "
                    f"at most {self._max_pixels / 1e6:g} in one request (--max-megapixels): send "
                    "fewer at once"
                )
        return pixels


@contextlib.contextmanager
def _naming(index: int, files: np.ndarray) -> Iterator[None]:
    """Says of a bad picture which of several it is, and what may raise the limit."""
    try:
        yield
    except pictures.PictureError as error:
        which = f"picture {index} of {len(files)}: " if len(files) > 1 else ""
        option = " (--max-megapixels)" if isinstance(error, pictures.TooManyPixelsError) else ""
        raise invalid(f"{which}{error}{option}") from error


def _signatures(manifest: manifest.Manifest) -> dict[str, dict]:
    """Returns the manifest's signatures, and that of tf.Example protos where it fits the task."""
    found = dict(manifest.signatures)
    outputs = found.get(BYTES_SIGNATURE, {}).get("outputs", {})
    if manifest.task == "Classifier" and "labels" in outputs:
        found.setdefault(
            CLASSIFY_SIGNATURE,
            {
                "inputs": {"inputs": {"dtype": "string", "shape": [None]}},
                "outputs": {"classes": outputs["labels"], "scores": outputs["scores"]},
                "method": CLASSIFY_METHOD,
            },
        )
    return found


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
