"""Does by hand what `serving/docker/Dockerfile` has Docker do, and calls the server that results.

    python tools/try_image.py [PACKAGE]

It makes a virtual environment in a temporary directory, installs the hashed requirements, copies
what the Dockerfile copies, starts its command (by another user where this one is root), asks the
probe and sends a picture. Needs the registry that pip is set up for; takes about a minute.
`PYTHON=/usr/bin/python3` chooses an interpreter, which has to be one that other users may run.
"""

import http.client
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).parents[1]
USER = 10001
PATIENCE = 60  # seconds until the server has to be ready


def lines(dockerfile: str, word: str) -> list[list[str]]:
    """Returns the arguments of an instruction, of each that has them as JSON."""
    return [json.loads(text) for text in re.findall(rf"^{word} (\[.*\])$", dockerfile, re.M)]


def build(package: pathlib.Path, context: pathlib.Path, image: pathlib.Path) -> list[str]:
    """Carries out the Dockerfile's COPY and RUN lines below `image`; returns its command."""
    dockerfile = (package / "Dockerfile").read_text(encoding="utf-8")
    for source, place in lines(dockerfile, "COPY"):
        path = image / place.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        if (context / source).is_dir():
            hidden = shutil.ignore_patterns("__pycache__")
            shutil.copytree(context / source, path, ignore=hidden, dirs_exist_ok=True)
        else:
            shutil.copyfile(context / source, path)
    python = os.environ.get("PYTHON", sys.executable)
    subprocess.run([python, "-m", "venv", image / "opt/venv"], check=True)
    options = "--no-cache-dir --disable-pip-version-check --require-hashes --only-binary :all:"
    pip = [image / "opt/venv/bin/pip", "install", "--quiet", *options.split()]
    subprocess.run([*pip, "-r", image / "requirements.txt"], check=True)
    (entry,), (command,) = lines(dockerfile, "ENTRYPOINT"), lines(dockerfile, "CMD")
    return [*entry, *command]


def environment(image: pathlib.Path) -> dict[str, str]:
    """Returns the environment of the image, and nothing of this one's."""
    return {"PATH": f"{image}/opt/venv/bin", "PYTHONPATH": f"{image}/opt/dlcv", "HOME": "/nowhere"}


def ask(method: str, path: str, body: bytes = b"", kind: str = "application/json") -> tuple:
    """Returns status and body of one request."""
    connection = http.client.HTTPConnection("127.0.0.1", 8501, timeout=10)
    connection.request(method, path, body, {"Content-Type": kind})
    answer = connection.getresponse()
    return answer.status, answer.read()


def call(server: subprocess.Popen, image: pathlib.Path) -> None:
    """Waits until the server is ready, then sends each model a picture."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            if ask("GET", "/v2/health/ready")[0] == 200:
                break
        except OSError:
            pass
        if server.poll() is not None or time.monotonic() > until:
            raise SystemExit(f"the server is not ready; its status is {server.poll()}")
        time.sleep(0.2)
    script = "import io, PIL.Image as p; b = io.BytesIO(); p.new('RGB', (64, 48)).save(b, 'PNG')"
    script += "; import sys; sys.stdout.buffer.write(b.getvalue())"
    command = [image / "opt/venv/bin/python", "-c", script]
    picture = subprocess.run(command, capture_output=True, check=True).stdout
    for model in sorted((image / "models").iterdir()):
        status, body = ask("POST", f"/v1/models/{model.name}:predict", picture, "image/png")
        print(f"{model.name}: {status}, {len(body)} bytes, {body[:60]}")
        if status != 200:
            raise SystemExit(1)


def main(package: pathlib.Path) -> None:
    """Builds, starts, calls and stops."""
    context = package if (package / "dlcv_tf").is_dir() else ROOT
    with tempfile.TemporaryDirectory() as scratch:
        image = pathlib.Path(scratch)
        image.chmod(0o755)
        command = build(package, context, image)
        command[0] = f"{image}/opt/venv/bin/{command[0]}"
        command[command.index("/models")] = f"{image}/models"
        command[command.index("0.0.0.0")] = "127.0.0.1"
        there = subprocess.run(
            [command[0], "-c", "import tensorflow"], env=environment(image), capture_output=True
        )
        print(f"import tensorflow: status {there.returncode}")
        if there.returncode == 0:
            raise SystemExit("TensorFlow is in the image")
        who = {"user": USER, "group": USER, "extra_groups": []} if os.getuid() == 0 else {}
        try:
            subprocess.run([command[0], "-c", ""], env=environment(image), check=True, **who)
        except (PermissionError, subprocess.CalledProcessError):
            print(f"user {USER} may not run this Python (PYTHON=/usr/bin/python3?): not tried")
            who = {}
        with subprocess.Popen(command, env=environment(image), cwd=image, **who) as server:
            try:
                call(server, image)
            finally:
                server.terminate()
                print(f"stopped: status {server.wait(60)}")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "serving" / "docker"))
