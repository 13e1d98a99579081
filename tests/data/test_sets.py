"""`load` gives each data set with its facts, and says how to mend bad input."""

import io
import os
import pathlib
import warnings

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from dlcv_tf import data
from dlcv_tf.data import folder, sets, shapes
from dlcv_tf.errors import InputError
from tests.helpers import pictures

PREPARED = os.environ.get("DLCV_DATA")


def arrays(dataset):
    images, labels = zip(*dataset.as_numpy_iterator(), strict=True)
    return np.stack(images), np.array(labels)


def test_digits_are_split_by_class_without_overlap():
    parts = {split: arrays(data.load("digits", split)[0]) for split in ("train", "val", "test")}
    assert {split: len(labels) for split, (_, labels) in parts.items()} == {
        "train": 1258,
        "val": 180,
        "test": 359,
    }
    seen = [image.tobytes() for images, _ in parts.values() for image in images]
    assert len(seen) == 1797
    everything = np.bincount(np.concatenate([labels for _, labels in parts.values()]))
    for fraction, split in ((0.7, "train"), (0.1, "val"), (0.2, "test")):
        np.testing.assert_allclose(np.bincount(parts[split][1]), everything * fraction, atol=1)


def test_digits_have_facts_and_static_shapes():
    dataset, info = data.load("digits", "test")
    assert info.labels == tuple("0123456789") and info.image_shape == (8, 8, 1)
    assert dataset.element_spec[0] == tf.TensorSpec((8, 8, 1), tf.uint8)
    images, _ = arrays(dataset)
    assert images.max() == 255 and images.min() == 0


def test_shapes_are_the_same_every_time_and_of_six_classes():
    random = np.random.default_rng(5)
    first = shapes.draw(2, random)
    np.testing.assert_array_equal(first, shapes.draw(2, np.random.default_rng(5)))
    dataset, info = data.load("shapes", "val")
    images, labels = arrays(dataset)
    assert images.shape == (500, 64, 64, 3) and info.num_classes == 6
    assert np.bincount(labels).min() >= 500 // 6


def test_pictures_are_resized_on_request():
    dataset, info = data.load("digits", "val", image_size=(16, 12))
    assert info.image_shape == (16, 12, 1)
    assert dataset.element_spec[0].shape == (16, 12, 1)
    original = data.load("digits", "val")[0]
    image = next(iter(original))[0]
    expected = tf.image.resize(image[None], (16, 12), antialias=True)[0]
    np.testing.assert_allclose(next(iter(dataset))[0], np.round(expected), atol=1)


@pytest.mark.parametrize("name", ["digits", "shapes"])
def test_unknown_split(name):
    with pytest.raises(InputError, match="got split='dev' for .*, expected one of train, val"):
        data.load(name, "dev")


def test_unknown_name_is_suggested():
    with pytest.raises(InputError, match="unknown data set 'digit': did you mean 'digits'"):
        data.load("digit")


def test_a_set_that_is_not_on_disk_says_where_it_looked_and_what_to_do(tmp_path):
    with pytest.raises(InputError) as error:
        data.load("mnist", data_dir=str(tmp_path))
    message = str(error.value)
    assert str(tmp_path / "mnist") in message
    assert "DLCV_DATA" in message and "--download" in message
    (tmp_path / "mnist" / "3.0.1").mkdir(parents=True)
    with pytest.raises(InputError, match="is incomplete: remove that directory"):
        data.load("mnist", data_dir=str(tmp_path))


def test_a_failed_download_is_one_line(tmp_path):
    class Unreachable:
        def download_and_prepare(self):
            raise ConnectionError("no route\nto host")

    with pytest.raises(InputError) as error:
        sets._download(Unreachable(), "mnist", tmp_path / "mnist")
    message = str(error.value)
    assert "could not fetch the data set 'mnist' (ConnectionError: no route to host)" in message
    assert str(tmp_path / "mnist") in message and "\n" not in message


@pytest.mark.skipif(not PREPARED, reason="DLCV_DATA names no TensorFlow Datasets directory")
@pytest.mark.parametrize("name, shape", [("mnist", (28, 28, 1)), ("cifar10", (32, 32, 3))])
def test_tensorflow_datasets(name, shape):
    dataset, info = data.load(name, "train[:100]")
    images, labels = arrays(dataset)
    assert images.shape == (100, *shape) and info.num_examples == 100 and info.num_classes == 10
    assert labels.min() >= 0 and labels.max() <= 9


def any_tensorflow_dataset(tmp_path):
    """Prepares a small set of pictures of differing sizes with TensorFlow Datasets itself."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import tensorflow_datasets as tfds

        class Tiny(tfds.core.GeneratorBasedBuilder):
            VERSION = tfds.core.Version("1.0.0")

            def _info(self):
                features = tfds.features.FeaturesDict(
                    {
                        "image": tfds.features.Image(),
                        "label": tfds.features.ClassLabel(num_classes=3),
                    }
                )
                return tfds.core.DatasetInfo(builder=self, features=features)

            def _split_generators(self, manager):
                return {"train": self._examples()}

            def _generate_examples(self):
                raise NotImplementedError

            def _examples(self):
                for number in range(12):
                    yield number, {"image": pictures(1, (8 + number, 9))[0], "label": number % 3}

        Tiny(data_dir=str(tmp_path)).download_and_prepare(
            download_config=tfds.download.DownloadConfig(try_download_gcs=False)
        )


def test_any_image_classification_set_works_by_name(tmp_path):
    any_tensorflow_dataset(tmp_path)
    with pytest.raises(InputError, match="differ in size: give image_size"):
        data.load("tiny", data_dir=str(tmp_path))
    dataset, info = data.load("tiny", data_dir=str(tmp_path), image_size=(8, 8))
    images, labels = arrays(dataset)
    assert images.shape == (12, 8, 8, 3) and info.num_classes == 3
    assert sorted(labels) == sorted([0, 1, 2] * 4)


def save(path: pathlib.Path, size=(20, 30), mode="RGB", format=None, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pictures(1, size)[0]).convert(mode).save(path, format, **options)


def test_folder_is_split_by_class_and_independent_of_order(tmp_path):
    for label in ("cat", "dog"):
        for number in range(20):
            save(tmp_path / label / f"{number}.png")
    parts = {split: folder.listing(tmp_path, split).files for split in ("train", "val", "test")}
    assert {split: len(files) for split, files in parts.items()} == {
        "train": 32,
        "val": 4,
        "test": 4,
    }
    for files in parts.values():
        assert sum(label for _, label in files) * 2 == len(files)
    assert len({path for files in parts.values() for path, _ in files}) == 40


def test_folder_with_split_folders(tmp_path):
    for split, count in (("train", 3), ("validation", 2), ("test", 1)):
        for label in ("a", "b"):
            for number in range(count):
                save(tmp_path / split / label / f"{number}.png")
    for split, count in (("train", 6), ("val", 4), ("test", 2)):
        dataset, info = data.load(f"folder:{tmp_path}", split)
        assert info.num_examples == count and info.labels == ("a", "b")
        assert dataset.element_spec[0].shape == (64, 64, 3)
    save(tmp_path / "test" / "c" / "0.png")
    with pytest.raises(InputError, match=r"has classes \['c'\] that .* lacks"):
        data.load(f"folder:{tmp_path}", "test")


SYNSETS = ("n01440764", "n01443537", "n02012849", "n03126707")
WORDS = {
    "n01440764": "tench, Tinca tinca",
    "n01443537": "goldfish, Carassius auratus",
    "n02012849": "crane",
    "n03126707": "crane",
}


def imagenet(root, words="LOC_synset_mapping.txt", separator=" "):
    """Makes a folder in the layout of ImageNet, with a class in words that another has too."""
    for split, count in (("train", 3), ("val", 1)):
        for synset in SYNSETS:
            for number in range(count):
                save(root / split / synset / f"{synset}_{number}.JPEG", format="JPEG")
    if words:
        lines = [f"{synset}{separator}{name}" for synset, name in WORDS.items()]
        (root / words).write_text("\n".join([*lines, f"n99999999{separator}unused", ""]))


@pytest.mark.parametrize(
    "words, separator",
    [("LOC_synset_mapping.txt", " "), ("synset_words.txt", " "), ("words.txt", "\t")],
)
def test_folder_in_the_layout_of_imagenet(tmp_path, words, separator):
    imagenet(tmp_path, words, separator)
    named = ("tench", "goldfish", "crane (n02012849)", "crane (n03126707)")
    for split, count in (("train", 12), ("val", 4)):
        dataset, info = data.load(f"folder:{tmp_path}", split)
        assert info.labels == named and info.num_examples == count and not info.skipped
        _, labels = arrays(dataset)
        assert sorted(labels) == sorted(list(range(4)) * (count // 4))
    assert data.describe(f"folder:{tmp_path}", "val").labels == named


def test_synsets_are_the_names_where_there_are_no_words(tmp_path):
    imagenet(tmp_path, words=None)
    assert data.describe(f"folder:{tmp_path}").labels == SYNSETS
    (tmp_path / "words.txt").write_text("n01440764\ttench\n")
    assert data.describe(f"folder:{tmp_path}").labels == ("tench", *SYNSETS[1:])
    save(tmp_path / "train" / "cat" / "0.png")  # other folders keep their names
    assert data.describe(f"folder:{tmp_path}").labels == ("cat", *SYNSETS)


def test_a_folder_too_large_for_memory_is_read_when_asked_for(tmp_path, monkeypatch):
    imagenet(tmp_path)
    whole, info = data.load(f"folder:{tmp_path}", image_size=(10, 12))
    monkeypatch.setattr(sets, "CACHE_BYTES", 12 * 10 * 12 * 3 - 1)
    streamed, same = data.load(f"folder:{tmp_path}", image_size=(10, 12))
    assert same == info and streamed.element_spec == whole.element_spec
    assert len(streamed) == 12

    def contents(dataset):
        pairs = zip(*arrays(dataset), strict=True)
        return sorted((int(label), image.tobytes()) for image, label in pairs)

    assert contents(streamed) == contents(whole)
    order = arrays(streamed)[1]
    np.testing.assert_array_equal(arrays(streamed)[1], order)
    assert (np.diff(order) < 0).any()  # not class after class: a buffer would not mix them
    broken = tmp_path / "train" / SYNSETS[0] / f"{SYNSETS[0]}_0.JPEG"
    broken.write_bytes(broken.read_bytes()[:100])
    with pytest.raises(tf.errors.OpError, match=f"{broken.name}.*repair or remove it"):
        arrays(data.load(f"folder:{tmp_path}", image_size=(10, 12))[0])


@pytest.mark.slow
@pytest.mark.skipif(not PREPARED, reason="DLCV_DATA names no TensorFlow Datasets directory")
def test_cifar10_is_complete_and_has_the_published_mean():
    for split, count in (("train", 50_000), ("test", 10_000)):
        dataset, info = data.load("cifar10", split)
        assert info.num_examples == count and info.image_shape == (32, 32, 3)
        assert info.labels[:3] == ("airplane", "automobile", "bird")
        labels = np.array([label for _, label in dataset.as_numpy_iterator()])
        np.testing.assert_array_equal(np.bincount(labels), [count // 10] * 10)
    mean = data.mean_image(data.load("cifar10", "train")[0])
    assert mean.shape == (32, 32, 3)
    published = np.array([0.4914, 0.4822, 0.4465])  # as in many published training scripts
    np.testing.assert_allclose(mean.mean(axis=(0, 1)) / 255, published, atol=1e-4)


def test_odd_pictures_are_read_and_broken_ones_named(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    train = tmp_path / "train"
    save(train / "a" / "rotated.jpg", exif=exif)
    save(train / "a" / "palette.png", mode="P")
    save(train / "a" / "cmyk.jpg", mode="CMYK")
    save(train / "a" / "grey.png", mode="L")
    save(train / "b" / "alpha.png", mode="RGBA")
    save(train / "b" / "tiny.png", size=(1, 1))
    Image.fromarray((np.arange(600).reshape(20, 30) * 100).astype(np.uint16)).save(
        train / "b" / "deep.png"
    )
    frames = [Image.fromarray(pictures(1, (20, 30))[0]), Image.new("RGB", (30, 20))]
    frames[0].save(train / "b" / "animated.gif", save_all=True, append_images=frames[1:])
    (train / "a" / "empty.jpg").write_bytes(b"")
    (train / "a" / "notes.txt").write_text("not a picture")
    whole = io.BytesIO()
    Image.fromarray(pictures(1, (50, 50))[0]).save(whole, "JPEG")
    (train / "b" / "cut.jpg").write_bytes(whole.getvalue()[:400])
    Image.new("1", (9000, 9000)).save(train / "b" / "huge.png")
    _, info = data.load(f"folder:{tmp_path}", "train")
    assert info.num_examples == 8
    named = {pathlib.Path(line.split(": ")[0]).name for line in info.skipped}
    assert named == {"empty.jpg", "notes.txt", "cut.jpg", "huge.png"}


@pytest.mark.parametrize("options", [{}, {"image_size": (16, 12)}])
@pytest.mark.parametrize("split", sets.SPLITS)
def test_describe_says_of_an_embedded_set_what_load_says(split, options):
    assert data.describe("digits", split, **options) == data.load("digits", split, **options)[1]


@pytest.mark.parametrize("options", [{}, {"image_size": (16, 12), "channels": 1}])
def test_describe_says_of_a_folder_what_load_says_without_its_pictures(
    tmp_path, monkeypatch, options
):
    for label, count in (("cat", 5), ("dog", 12)):
        for number in range(count):
            save(tmp_path / label / f"{number}.png")
    loaded = [data.load(f"folder:{tmp_path}", split, **options)[1] for split in sets.SPLITS]

    def opened(*_):
        raise AssertionError("a picture was opened")

    monkeypatch.setattr(folder, "read_all", opened)
    monkeypatch.setattr(pathlib.Path, "read_bytes", opened)
    described = [data.describe(f"folder:{tmp_path}", split, **options) for split in sets.SPLITS]
    assert described == loaded


def test_describe_refuses_what_load_refuses(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    wrong = [
        ("digit", "train", {}),
        ("digits", "dev", {}),
        ("digits", "val", {"channels": 3}),
        (f"folder:{tmp_path}", "dev", {}),
        (f"folder:{tmp_path}", "train", {}),
        (f"folder:{tmp_path / 'none'}", "train", {}),
        ("folder:", "train", {}),
    ]
    for name, split, options in wrong:
        with pytest.raises(InputError) as expected:
            data.load(name, split, **options)
        with pytest.raises(InputError) as error:
            data.describe(name, split, **options)
        assert str(error.value) == str(expected.value)


def test_folder_errors(tmp_path):
    with pytest.raises(InputError, match="expected an existing folder"):
        data.load(f"folder:{tmp_path / 'none'}")
    save(tmp_path / "only" / "0.png")
    with pytest.raises(InputError, match=r"found 1 class folder\(s\)"):
        data.load(f"folder:{tmp_path}")
    (tmp_path / "other").mkdir()
    with pytest.raises(InputError, match="found no pictures for the val split of folder:"):
        data.load(f"folder:{tmp_path}", "val")
    (tmp_path / "only" / "0.png").write_bytes(b"broken")
    with pytest.raises(InputError, match="no readable picture among them"):
        data.load(f"folder:{tmp_path}")
