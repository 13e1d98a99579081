"""Has every model of a running `dlcv serve` answer pictures: one after the other, then all at once.

python python_client.py http://127.0.0.1:8501 photo.jpg ...

A server with --token-file wants TOKEN=... before the command.
"""

import asyncio
import os
import sys

from dlcv_tf.errors import InputError
from dlcv_tf.serve.client import AsyncClient, Client, ServingError

TOKEN = os.environ.get("TOKEN")


def one_by_one(url: str, files: list[str]) -> None:
    """Prints what each model that serves says of each picture."""
    with Client(url, token=TOKEN) as client:
        for name, versions in client.models().items():
            if not any(version["state"] == "AVAILABLE" for version in versions):
                continue
            for file, answer in zip(files, client.answers(name, files), strict=True):
                print(f"{name}, {file}:")
                for thing in answer.things[:5]:
                    number = thing["score"] if "score" in thing else thing["share"]
                    print(f"    {thing['label']:20} {number:6.1%}", thing.get("box", ""))
                if "picture" in answer.arrays:
                    print("    a picture of {} x {} pixels".format(*answer.arrays["picture"].shape))


async def all_at_once(url: str, files: list[str]) -> None:
    """Prints how many things each model finds in all pictures."""
    async with AsyncClient(url, token=TOKEN, timeout=10) as client:
        names = [*await client.models()]
        found = await asyncio.gather(*(client.answers(name, files) for name in names))
    for name, answers in zip(names, found, strict=True):
        print(f"{name}: {sum(len(answer.things) for answer in answers)} things")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    try:
        one_by_one(sys.argv[1], sys.argv[2:])
        asyncio.run(all_at_once(sys.argv[1], sys.argv[2:]))
    except ServingError as error:
        sys.exit(f"{error.code.name}: {error}")
    except InputError as error:
        sys.exit(str(error))
