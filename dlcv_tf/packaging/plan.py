"""Where a package goes, where its models are, and what the user chose."""

import dataclasses
import os
import pathlib
import re

from dlcv_tf import __version__
from dlcv_tf.errors import InputError
from dlcv_tf.packaging.models import Model

IMAGE = re.compile(r"[a-z0-9][a-z0-9._/:@-]*")
STORAGE = re.compile(r"[a-z][a-z0-9+.-]*://[A-Za-z0-9._~/-]+")

# The server inside a container, as all targets start it: ports, and how long it ends.
HTTP_PORT, GRPC_PORT = 8501, 8500
DRAIN = 20  # seconds that requests under way get after SIGTERM
USER = 10001  # of the image; any but root


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is the same for all files of a package.

    Args:
        directory: of the package.
        copy: the package holds its models; otherwise it names the artifacts where they are, by
            paths relative to it.
        image: of `dlcv serve`, as the clusters pull it.
        storage: where the clusters find a tree of NAME/VERSION, as KServe writes it.
    """

    directory: pathlib.Path
    copy: bool = True
    image: str = f"dlcv-serve:{__version__}"
    storage: str = "pvc://models"

    def __post_init__(self):
        if not IMAGE.fullmatch(self.image):
            raise InputError(
                f"got the image {self.image!r}, expected a name such as dlcv-serve:{__version__} "
                "or HOST/TEAM/NAME:TAG, in small letters"
            )
        if not STORAGE.fullmatch(self.storage):
            raise InputError(
                f"got the storage {self.storage!r}, expected a URI such as pvc://models or "
                "s3://BUCKET/models"
            )

    @property
    def gpu_image(self) -> str:
        """The image with ONNX Runtime for GPUs: `-gpu` behind the tag."""
        return self.image + ("-gpu" if ":" in self.image.rpartition("/")[2] else ":gpu")

    def beside(self, path: str | os.PathLike) -> str:
        """Returns a path relative to the package, with `/`."""
        relative = os.path.relpath(os.path.realpath(path), os.path.realpath(self.directory))
        return pathlib.Path(relative).as_posix()

    def of(self, model: Model, tree: str = "models") -> str:
        """Returns where a model's files are, relative to the package.

        Args:
            model: one version.
            tree: the package's own folder of models, if it holds them.
        """
        return f"{tree}/{model.place}" if self.copy else self.beside(model.directory)


def server_arguments(
    *more: str, models: str = "/models", port: int = HTTP_PORT, grpc_port: int = GRPC_PORT
) -> list[str]:
    """Returns what follows `dlcv serve` in a container, where all addresses are to be heard.

    Args:
        *more: further arguments.
        models: directory of the models, in the container.
        port: for HTTP.
        grpc_port: for gRPC.
    """
    arguments = ["--models", models, "--host", "0.0.0.0", "--port", str(port)]
    return [*arguments, "--grpc-port", str(grpc_port), "--drain", str(DRAIN), *more]
