"""Ensembles answer with the mean of probabilities; snapshots come from one training."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from dlcv_tf import data, export, models, tasks, train
from dlcv_tf.artifact import manifest as manifests
from dlcv_tf.artifact import runners
from tests.helpers import check_model, ramp


def digits(split):
    images, labels = data.digits.arrays(split)
    return images, labels


def classifier(network, compiled=True, **options):
    task = tasks.Classifier(network, data.Preprocess((8, 8), channels=1), list("0123456789"))
    if compiled:
        task.compile(keras.optimizers.SGD(0.1, momentum=0.9, **options))
    return task


def trained(seed, epochs=3, hidden=(16,)):
    keras.utils.set_random_seed(seed)
    task = classifier(models.mlp((8, 8, 1), 10, hidden_units=hidden))
    task.fit(*digits("train"), batch_size=64, epochs=epochs, verbose=0)
    return task


@pytest.fixture(scope="module")
def members():
    return [trained(seed, hidden=(8 + 4 * seed,)) for seed in range(3)]


@pytest.fixture(scope="module")
def together(members):
    network = train.ensemble([task.network for task in members])
    return classifier(network)


def test_the_answer_is_the_mean_of_probabilities_and_no_worse_than_the_mean_member(
    members, together
):
    images, labels = digits("test")
    each = np.stack([task.answer(images)["probabilities"] for task in members])
    got = together.answer(images)["probabilities"].numpy()
    np.testing.assert_allclose(got, each.mean(axis=0), atol=1e-6)
    accuracies = [task.evaluate(images, labels, verbose=0)[1] for task in members]
    assert together.evaluate(images, labels, verbose=0)[1] >= np.mean(accuracies)


def test_an_ensemble_of_confident_members_that_differ_stays_finite():
    logits = np.array([[300.0, -300.0, 0.0], [-300.0, 300.0, 0.0]], np.float32)
    networks = []
    for row in logits:
        images = keras.Input((2,))
        outputs = keras.layers.Dense(
            3, kernel_initializer="zeros", bias_initializer=keras.initializers.Constant(0)
        )(images)
        network = keras.Model(images, {"logits": outputs})
        network.layers[-1].bias.assign(row)
        networks.append(network)
    got = train.ensemble(networks)(np.zeros((1, 2), np.float32))["logits"].numpy()
    np.testing.assert_allclose(tf.nn.softmax(got), [[0.5, 0.5, 0.0]], atol=1e-6)
    assert np.isfinite(got).all()


def test_an_ensemble_is_a_network_like_any_other(members, tmp_path):
    network = train.ensemble([members[0].network, members[2].network])
    check_model(network, ramp((4, 8, 8, 1)), tmp_path)


@pytest.mark.slow
def test_an_ensemble_is_exported_with_proven_parity(together, tmp_path):
    test, calibration = (data.load("digits", split)[0] for split in ("test", "train"))
    artifact = export.export(
        together, "digits_ensemble", test=test, calibration=calibration, root=tmp_path
    )
    manifest = manifests.verify(artifact)
    assert set(manifest.formats) == {"saved_model", "onnx", "tflite", "tflite_int8"}
    images = digits("test")[0][:32]
    expected = together.answer(images)["probabilities"]
    for format in ("onnx", "tflite"):
        got = runners.load(artifact, format)(images)["probabilities"]
        np.testing.assert_allclose(got, expected, atol=1e-5, err_msg=format)


def test_networks_that_do_not_fit_together_are_refused(members):
    other = models.mlp((8, 8, 1), 7)
    with pytest.raises(ValueError, match="2 networks of 2 different shapes .* expected at least"):
        train.ensemble([members[0].network, other])
    with pytest.raises(ValueError, match="got 0 networks"):
        train.ensemble([])


class Rates(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.seen = []

    def on_train_batch_end(self, batch, logs=None):
        self.seen.append(float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)))


def batches_of(images, labels, batch_size=64):
    examples = tf.data.Dataset.from_tensor_slices((images, labels))
    return data.TrainingBatches(examples, len(images), batch_size)


@pytest.mark.parametrize("loop", ["fit", "train"])
def test_snapshots_are_taken_at_the_end_of_cosine_cycles(loop, tmp_path):
    images, labels = digits("train")
    keras.utils.set_random_seed(0)
    task = classifier(models.mlp((8, 8, 1), 10, hidden_units=(16,)))
    snapshots = train.SnapshotEnsemble(cycles=3, peak=0.2, directory=tmp_path / "snapshots")
    rates = Rates()
    if loop == "fit":
        task.fit(images, labels, batch_size=64, epochs=12, callbacks=[snapshots, rates], verbose=0)
    else:
        train.train(
            task, batches_of(images, labels), epochs=12, callbacks=[snapshots, rates], verbose=0
        )
    per_cycle = len(rates.seen) // 3
    part = np.arange(per_cycle) / per_cycle
    np.testing.assert_allclose(rates.seen, np.tile(0.1 * (1 + np.cos(np.pi * part)), 3), rtol=1e-5)
    assert len(snapshots.networks) == 3
    assert sorted(path.name for path in (tmp_path / "snapshots").iterdir()) == [
        f"snapshot{number}.keras" for number in (1, 2, 3)
    ]
    values = [network.get_weights()[0] for network in snapshots.networks]
    assert not np.allclose(values[0], values[1]) and not np.allclose(values[1], values[2])
    np.testing.assert_array_equal(values[2], task.network.get_weights()[0])
    last = task.evaluate(*digits("test"), verbose=0)[1]
    averaged = classifier(snapshots.ensemble()).evaluate(*digits("test"), verbose=0)[1]
    assert averaged >= last - 0.002


def test_snapshots_of_a_resumed_run_are_those_of_a_whole_one(tmp_path):
    images, labels = digits("val")

    def run(epochs, name, resume=False, all_epochs=6):
        keras.utils.set_random_seed(0)
        task = classifier(models.mlp((8, 8, 1), 10, hidden_units=(16,)))
        snapshots = train.SnapshotEnsemble(cycles=3, peak=0.2, directory=tmp_path / name)

        class Stop(keras.callbacks.Callback):
            def on_epoch_end(self, epoch, logs=None):
                self.model.stop_training = epoch + 1 == epochs

        train.train(
            task,
            batches_of(images, labels),
            epochs=all_epochs,
            callbacks=[snapshots, Stop()],
            checkpoint=tmp_path / f"{name}.npz",
            resume=resume,
            verbose=0,
        )
        return snapshots.networks

    whole = run(6, "whole")
    run(3, "stopped")
    resumed = run(6, "stopped", resume=True)
    assert len(resumed) == len(whole) == 3
    for one, other in zip(resumed, whole, strict=True):
        np.testing.assert_allclose(one.get_weights()[0], other.get_weights()[0], atol=1e-6)
    (tmp_path / "stopped" / "snapshot1.keras").unlink()
    with pytest.raises(ValueError, match="snapshot 1 of this resumed run is missing"):
        run(6, "stopped", resume=True, all_epochs=9)


def test_what_snapshots_need_is_said(tmp_path):
    images, labels = digits("val")
    task = classifier(models.linear((8, 8, 1), 10))
    with pytest.raises(ValueError, match="got 4 cycles in 6 epochs .* a multiple of the cycles"):
        task.fit(images, labels, epochs=6, callbacks=[train.SnapshotEnsemble(4, 0.1)], verbose=0)
    with pytest.raises(ValueError, match="got cycles=0 and peak=0.1"):
        train.SnapshotEnsemble(0, 0.1)
    task.compile(keras.optimizers.SGD(keras.optimizers.schedules.CosineDecay(0.1, 10)))
    with pytest.raises(ValueError, match="a learning-rate schedule, expected one with a number"):
        task.fit(images, labels, epochs=2, callbacks=[train.SnapshotEnsemble(2, 0.1)], verbose=0)
