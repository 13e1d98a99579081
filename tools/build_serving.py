"""Makes the packages in `serving/` from the shipped artifacts, which stay in `savedmodels/`.

python tools/build_serving.py [DIRECTORY]
"""

import pathlib
import sys

from dlcv_tf.cli import targets
from dlcv_tf.packaging import package, plan

ROOT = pathlib.Path(__file__).parents[1]

# A shipped model joins by its line.
MODELS = (
    "cifar10_airbench",
    "bccd_ssd",
    "camvid_unet",
)


def build(directory: pathlib.Path) -> None:
    """Writes the package of every target, in place of the one there is."""
    artifacts = [targets.artifact(str(ROOT / "savedmodels" / name)) for name in MODELS]
    for target in package.TARGETS:
        place = plan.Plan(directory / target, copy=False)
        written = package.write(target, artifacts, place, force=True)
        print(f"{directory.name}/{target}: {len(written)} files")


if __name__ == "__main__":
    build(pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "serving"))
