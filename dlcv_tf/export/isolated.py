"""Runs a converter in a process of its own: a converter that crashes must not take ours along."""

import os
import pathlib
import subprocess
import sys

import numpy as np

from dlcv_tf.errors import RefusedError

FORMATS = ("onnx", "tflite", "tflite_int8")


class ConversionError(RefusedError):
    """A converter failed; says which, and the end of what it printed."""


def convert(
    format: str,
    saved_model: str | pathlib.Path,
    path: str | pathlib.Path,
    pictures: np.ndarray | None = None,
) -> None:
    """Converts a SavedModel to one format in a new process.

    Args:
        format: `"onnx"`, `"tflite"` or `"tflite_int8"`.
        saved_model: directory with the SavedModel.
        path: file to write.
        pictures: calibration pictures for int8, as for `export_tflite_int8`.

    Raises:
        ConversionError: the converter raised or crashed.
    """
    command = [sys.executable, "-m", __name__, format, str(saved_model), str(path)]
    if pictures is not None:
        calibration = pathlib.Path(f"{path}.calibration.npy")
        np.save(calibration, pictures)
        command.append(str(calibration))
    root = str(pathlib.Path(__file__).parents[2])
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(paths),
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "CUDA_VISIBLE_DEVICES": "-1",
    }
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    finally:
        if pictures is not None:
            calibration.unlink(missing_ok=True)
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise ConversionError(
            f"the {format} converter ended with status {done.returncode}: "
            + (" | ".join(lines[-3:]) or "it printed nothing")
        )


def main(arguments: list[str]) -> None:
    """Converts in this process: FORMAT SAVED_MODEL PATH [CALIBRATION]."""
    from dlcv_tf import export

    format, saved_model, path, *calibration = arguments
    if format == "onnx":
        export.export_onnx(saved_model, path)
    elif format == "tflite":
        export.export_tflite(saved_model, path)
    else:
        export.export_tflite_int8(saved_model, path, np.load(calibration[0]))


if __name__ == "__main__":
    main(sys.argv[1:])
