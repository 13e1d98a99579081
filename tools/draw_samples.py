"""Draws the sample pictures of the server's web page: `.venv/bin/python tools/draw_samples.py`.

All of them are made here, from fixed seeds; none is a photograph, and none of anybody's data.
"""

import math
import pathlib

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from dlcv_tf.data import scenes

SAMPLES = pathlib.Path(__file__).parents[1] / "dlcv_tf" / "serve" / "page" / "samples"
TIMES = 4  # drawn so much larger, then averaged: smooth edges


def cells(random: np.random.Generator) -> Image.Image:
    """Draws blood under a microscope: red cells, two platelets, a white cell; 320 x 240."""
    width, height = 320 * TIMES, 240 * TIMES
    picture = Image.new("RGB", (width, height), (205, 196, 200))
    places = [(88, 70, 40)]  # the white cell: x, y, radius
    while len(places) < 13:
        x, y, radius = random.uniform(20, 300), random.uniform(20, 220), random.uniform(22, 27)
        if all(math.hypot(x - a, y - b) > radius + c - 4 for a, b, c in places):
            places.append((x, y, radius))
    for x, y, radius in places[1:]:
        tint = random.normal(0, 4, 3)
        _disc(picture, x, y, radius, np.array((196, 148, 150)) + tint, 2)
        _disc(picture, x, y, radius * 0.86, np.array((190, 140, 146)) + tint, 5)
        _disc(picture, x - 1, y, radius * 0.4, np.array((207, 178, 180)) + tint, 8)
    _disc(picture, *places[0], (178, 158, 188), 3)
    for x, y, radius in ((78, 60, 19), (98, 64, 18), (86, 84, 19), (102, 82, 15)):
        _disc(picture, x, y, radius, (104, 62, 142), 5)
    for x, y in ((262, 30), (30, 205)):
        _disc(picture, x, y, 6, (134, 100, 158), 3)
    return _finished(picture, random, 3)


def street(random: np.random.Generator) -> Image.Image:
    """Draws a street from a car's window; 320 x 240."""
    width, height = 320 * TIMES, 240 * TIMES
    picture = Image.new("RGB", (width, height), (222, 228, 232))
    pencil = ImageDraw.Draw(picture)

    def shape(points, colour):
        pencil.polygon([(x * TIMES, y * TIMES) for x, y in points], fill=colour)

    for left, right, top, colour in (
        (-5, 62, 22, (112, 92, 80)),
        (62, 108, 52, (138, 122, 106)),
        (108, 135, 82, (120, 108, 98)),
        (196, 232, 66, (128, 108, 96)),
        (232, 325, 12, (98, 84, 78)),
    ):
        shape([(left, top), (right, top), (right, 150), (left, 150)], colour)
        for x in np.arange(left + 7, right - 8, 15):
            for y in np.arange(top + 10, 120, 21):
                shape([(x, y), (x + 7, y), (x + 7, y + 11), (x, y + 11)], (58, 60, 66))
    for x, y, radius in ((150, 112, 17), (168, 106, 20), (186, 114, 16)):
        for _ in range(60):
            angle, far = random.uniform(0, 2 * math.pi), radius * math.sqrt(random.uniform())
            green = np.array((52, 66, 44)) + random.normal(0, 12, 3)
            spot = x + far * math.cos(angle), y + far * math.sin(angle)
            _disc(picture, *spot, 4, green, 0)
    shape([(0, 150), (320, 150), (320, 240), (0, 240)], (134, 128, 126))  # pavement
    shape([(140, 128), (192, 128), (300, 240), (10, 240)], (92, 90, 92))  # road
    for near, far in ((240, 205), (190, 170), (160, 148)):
        half = [(y - 128) * 0.016 for y in (near, far)]
        shape(
            [(162 - half[0], near), (162 + half[0], near), (164 + half[1], far), (164, far)],
            (196, 196, 192),
        )
    for x, y, wide, colour in ((60, 172, 66, (60, 64, 78)), (226, 156, 44, (128, 40, 38))):
        high = wide * 0.62
        shape([(x, y - high * 0.55), (x + wide, y - high * 0.55), (x + wide, y), (x, y)], colour)
        roof = [(x + wide * 0.14, y - high), (x + wide * 0.86, y - high)]
        shape([*roof, (x + wide, y - high * 0.5), (x, y - high * 0.5)], (40, 46, 54))
        for part in (0.14, 0.86):
            _disc(picture, x + wide * part, y - 1, wide * 0.1, (26, 26, 28), 0)
    shape([(270, 20), (273, 20), (274, 180), (270, 180)], (62, 62, 60))  # a lamp post
    return _finished(picture.filter(ImageFilter.GaussianBlur(TIMES * 0.6)), random, 4)


def ship(random: np.random.Generator) -> Image.Image:
    """Draws a ship on the sea; 128 x 128."""
    side = 128
    picture = Image.new("RGB", (side * TIMES, side * TIMES), (150, 186, 218))
    pencil = ImageDraw.Draw(picture)

    def shape(points, colour):
        pencil.polygon([(x * TIMES, y * TIMES) for x, y in points], fill=colour)

    for y in range(74, side):
        shade = (28 - (y - 74) // 6, 74 - (y - 74) // 4, 118 - (y - 74) // 3)
        shape([(0, y), (side, y), (side, y + 1), (0, y + 1)], shade)
    shape([(10, 66), (118, 62), (108, 88), (24, 88)], (48, 52, 62))
    shape([(20, 82), (111, 81), (108, 88), (24, 88)], (150, 44, 40))
    shape([(28, 52), (88, 50), (88, 64), (28, 66)], (238, 238, 234))
    shape([(36, 40), (72, 39), (72, 51), (36, 52)], (226, 228, 226))
    shape([(50, 22), (60, 22), (60, 40), (50, 40)], (190, 60, 44))
    for x in range(34, 84, 8):
        shape([(x, 56), (x + 4, 56), (x + 4, 60), (x, 60)], (70, 84, 100))
    return _finished(picture.filter(ImageFilter.GaussianBlur(TIMES * 0.5)), random, 3)


def digit(random: np.random.Generator) -> Image.Image:
    """Draws a three as a pen writes it, white on black; 64 x 64."""
    picture = Image.new("L", (64 * TIMES, 64 * TIMES))
    points = []
    for x, y, radius, low, high in ((31, 21, 11, -150, 95), (31, 42, 12, -90, 150)):
        for degrees in range(low, high, 3):
            angle = math.radians(degrees)
            points.append((x + radius * math.cos(angle), y + radius * math.sin(angle)))
    pencil = ImageDraw.Draw(picture)
    for x, y in points:
        ends = ((x - 4) * TIMES, (y - 4) * TIMES, (x + 4) * TIMES, (y + 4) * TIMES)
        pencil.ellipse(ends, fill=255)
    return picture.resize((64, 64), Image.Resampling.BOX)


def shapes(random: np.random.Generator) -> Image.Image:
    """Draws a scene of the data set `shapes`; 64 x 64."""
    while len((scene := scenes.draw(random)).classes) < 4:
        pass
    return Image.fromarray(scene.image)


def figure(random: np.random.Generator) -> Image.Image:
    """Draws a stick figure of the data set `shapes`; 64 x 64."""
    return Image.fromarray(scenes.figure(random)[0])


def main() -> None:
    """Writes all samples."""
    for seed, draw in enumerate((cells, street, ship, digit, shapes, figure)):
        picture = draw(np.random.default_rng(seed))
        if picture.mode == "RGB" and picture.width > 64:
            picture = picture.quantize(128, dither=Image.Dither.NONE)  # a third of the bytes
        path = SAMPLES / f"{draw.__name__}.png"
        picture.save(path, optimize=True)
        print(f"{path.name}: {picture.width} x {picture.height}, {path.stat().st_size} bytes")


def _disc(picture: Image.Image, x: float, y: float, radius: float, colour, soft: float) -> None:
    """Draws a disc with an edge that is soft by so many pixels."""
    cover = Image.new("L", picture.size)
    ends = [TIMES * value for value in (x - radius, y - radius, x + radius, y + radius)]
    ImageDraw.Draw(cover).ellipse(ends, fill=255)
    if soft:
        cover = cover.filter(ImageFilter.GaussianBlur(TIMES * soft / 2))
    picture.paste(tuple(int(value) for value in np.clip(colour, 0, 255)), mask=cover)


def _finished(picture: Image.Image, random: np.random.Generator, noise: float) -> Image.Image:
    small = np.asarray(picture.reduce(TIMES), np.float64)
    grain = random.normal(0, noise, (*small.shape[:2], 1))
    return Image.fromarray(np.clip(np.rint(small + grain), 0, 255).astype(np.uint8))


if __name__ == "__main__":
    main()
