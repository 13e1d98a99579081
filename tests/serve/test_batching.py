"""The queue before an executor: order, batches, limits, deadlines, and what one failure does."""

import concurrent.futures
import threading
import time

import numpy as np
import pytest

from dlcv_tf.errors import InputError
from dlcv_tf.serve import executors
from dlcv_tf.serve.batching import QUEUE_FULL, Plan, Queue, plan_of
from dlcv_tf.serve.call import Call
from dlcv_tf.serve.errors import Code, ServingError
from tests.artifact import tiny

POISON = 255


class Means:
    """An executor that answers each picture's mean, when its gate is open; notes what it ran."""

    name = "means"
    signatures = frozenset({"means"})

    def __init__(self, seconds: float = 0.0):
        self.gate = threading.Event()
        self.gate.set()
        self.seconds = seconds
        self.is_dead = False
        self.ran: list[tuple] = []
        self.under_way = self.most_under_way = 0
        self.lock = threading.Lock()

    def __call__(self, images, call):
        with self.lock:
            self.ran.append(images.shape)
            self.under_way += 1
            self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            gate = self.gate
            gate.wait(10)
            time.sleep(self.seconds)
            if self.is_dead:
                raise ServingError(Code.UNAVAILABLE, "the process ended")
            if (images == POISON).any():
                raise ValueError("poison")
            call.batch = max(call.batch, len(images))
            call.stages["run"] = call.stages.get("run", 0.0) + self.seconds
            return {"mean": images.mean(axis=(1, 2, 3))}
        finally:
            with self.lock:
                self.under_way -= 1

    def run(self, signature, inputs, call):
        return self(inputs["images"], call)

    def close(self):
        self.ran.clear()


def picture(value: int, side: int = 4, count: int = 1) -> np.ndarray:
    return np.full((count, side, side, 3), value, np.uint8)


def until(condition) -> None:
    end = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


class Crowd:
    """Requests in threads of their own, sent in order behind a closed gate."""

    def __init__(self, queue: Queue, means: Means):
        self.queue, self.means = queue, means
        self.threads = concurrent.futures.ThreadPoolExecutor(64)
        self.sent = 0

    def send(self, images, call=None):
        before = self.queue.waiting + len(self.means.ran)
        future = self.threads.submit(self.queue, images, call or Call())
        until(lambda: self.queue.waiting + len(self.means.ran) > before)
        return future


@pytest.fixture
def means():
    return Means()


@pytest.fixture
def crowd(means):
    """Returns a function that makes a closed queue of a plan, whose one lane is taken."""
    made = []

    def make(**plan) -> Crowd:
        new = Crowd(Queue(means, Plan(**plan)), means)
        means.gate.clear()
        new.first = new.send(picture(0, side=3))
        made.append(new)
        return new

    yield make
    means.gate.set()
    for one in made:
        one.threads.shutdown()


def test_what_waits_runs_together_by_size_and_in_order(crowd, means):
    here = crowd(max_batch=4)
    calls = [Call() for _ in range(7)]
    sides = [4, 5, 4, 4, 5, 4, 4]
    sent = [
        here.send(picture(i + 1, side), call)
        for i, (side, call) in enumerate(zip(sides, calls, strict=True))
    ]
    means.gate.set()
    assert [float(one.result()["mean"][0]) for one in sent] == [1, 2, 3, 4, 5, 6, 7]
    assert means.ran[1:] == [(4, 4, 4, 3), (2, 5, 5, 3), (1, 4, 4, 3)]
    assert [call.batch for call in calls] == [4, 2, 4, 4, 2, 4, 1]
    assert here.queue.waiting == 0


def test_types_and_signatures_do_not_mix(crowd, means):
    here = crowd(max_batch=4)
    sent = [here.send(picture(1)), here.send(picture(2).astype(np.float32))]
    before = here.queue.waiting
    signed = here.threads.submit(here.queue.run, "means", {"images": picture(3)}, Call())
    until(lambda: here.queue.waiting > before)
    means.gate.set()
    answers = [*(one.result() for one in sent), signed.result()]
    assert [float(answer["mean"][0]) for answer in answers] == [1, 2, 3]
    assert [shape[0] for shape in means.ran] == [1, 1, 1, 1]


def test_a_request_with_more_pictures_than_a_batch_runs_alone(crowd, means):
    here = crowd(max_batch=4)
    small, large, last = (here.send(picture(i, count=n)) for i, n in ((1, 1), (2, 9), (3, 1)))
    means.gate.set()
    assert len(large.result()["mean"]) == 9
    assert small.result()["mean"].tolist() == [1] and last.result()["mean"].tolist() == [3]
    assert sorted(shape[0] for shape in means.ran[1:]) == [2, 9]


@pytest.mark.parametrize("max_batch", [1, 8])
def test_a_full_queue_refuses_at_once(crowd, means, max_batch):
    here = crowd(max_batch=max_batch, limit=2)
    waiting = [here.send(picture(1)), here.send(picture(2))]
    assert here.queue.waiting == 2
    with pytest.raises(ServingError, match=QUEUE_FULL) as caught:
        here.queue(picture(3), Call())
    assert caught.value.code == Code.UNAVAILABLE
    means.gate.set()
    assert [float(one.result()["mean"][0]) for one in waiting] == [1, 2]


@pytest.mark.parametrize("max_batch", [1, 8])
def test_a_request_past_its_deadline_is_not_run(crowd, means, max_batch):
    here = crowd(max_batch=max_batch)
    start = time.monotonic()
    late = here.send(picture(1), Call(deadline=start + 0.05))
    good = here.send(picture(2))
    with pytest.raises(ServingError, match="deadline passed") as caught:
        late.result(timeout=2)  # the lane is still taken: it does not wait for it
    assert caught.value.code == Code.DEADLINE_EXCEEDED
    means.gate.set()
    assert float(good.result()["mean"][0]) == 2
    assert len(means.ran) == 2
    with pytest.raises(ServingError, match="deadline passed"):
        here.queue(picture(3), Call(deadline=time.monotonic() - 1))
    assert len(means.ran) == 2


def test_a_deadline_that_passes_while_the_batch_runs_frees_its_request(crowd, means):
    here = crowd(max_batch=4)
    first = here.send(picture(1))
    late = here.send(picture(2), Call(deadline=time.monotonic() + 0.5))
    opened, means.gate = means.gate, threading.Event()
    opened.set()
    until(lambda: (2, 4, 4, 3) in means.ran)  # and stands before the second gate
    with pytest.raises(ServingError, match="deadline passed"):
        late.result(timeout=2)
    assert not first.done()
    means.gate.set()
    assert float(first.result()["mean"][0]) == 1


def test_a_failing_request_does_not_fail_its_companions(crowd, means):
    here = crowd(max_batch=8)
    sent = [here.send(picture(value)) for value in (1, POISON, 3)]
    means.gate.set()
    assert float(sent[0].result()["mean"][0]) == 1
    assert float(sent[2].result()["mean"][0]) == 3
    with pytest.raises(ValueError, match="poison"):
        sent[1].result()
    assert [shape[0] for shape in means.ran] == [1, 3, 1, 1, 1]
    assert float(here.queue(picture(5), Call())["mean"][0]) == 5  # the lane is free again


def test_a_dead_worker_fails_its_batch_without_another_try(crowd, means):
    here = crowd(max_batch=8)
    sent = [here.send(picture(value)) for value in (1, 2)]
    opened, means.gate = means.gate, threading.Event()
    opened.set()
    until(lambda: len(means.ran) == 2)
    means.is_dead = True
    means.gate.set()
    for one in sent:
        with pytest.raises(ServingError, match="the process ended"):
            one.result()
    assert [shape[0] for shape in means.ran] == [1, 2]


def test_a_delay_fills_the_batch_and_a_full_one_does_not_wait(means):
    queue = Queue(means, Plan(lanes=2, max_batch=3, delay=5.0))
    with concurrent.futures.ThreadPoolExecutor(3) as threads:
        start = time.monotonic()
        answers = list(threads.map(lambda v: queue(picture(v), Call())["mean"], [1, 2, 3]))
        assert time.monotonic() - start < 2
    assert [float(answer[0]) for answer in answers] == [1, 2, 3]
    assert means.ran == [(3, 4, 4, 3)]
    queue = Queue(means, Plan(max_batch=3, delay=0.05))
    start = time.monotonic()
    queue(picture(1), Call())
    assert 0.05 <= time.monotonic() - start < 1


def test_what_does_not_fit_a_delayed_batch_gets_a_free_lane(means):
    queue = Queue(means, Plan(lanes=2, max_batch=2, delay=0.1))
    with concurrent.futures.ThreadPoolExecutor(3) as threads:
        sides = [4, 5, 4]
        answers = list(threads.map(lambda s: queue(picture(s, s), Call())["mean"], sides))
    assert [float(answer[0]) for answer in answers] == sides
    assert sorted(shape[0] for shape in means.ran) == [1, 2]
    assert queue._free == 2


def test_batches_are_padded_to_allowed_sizes(crowd, means):
    here = crowd(max_batch=8, sizes=(2, 8))
    sent = [here.send(picture(value)) for value in (1, 2, 3)]
    means.gate.set()
    answers = [one.result()["mean"] for one in sent]
    assert [answer.tolist() for answer in answers] == [[1], [2], [3]]
    assert means.ran == [(2, 3, 3, 3), (8, 4, 4, 3)]


def test_no_more_run_at_once_than_there_are_lanes(means):
    means.seconds = 0.005
    queue = Queue(means, Plan(lanes=2))
    with concurrent.futures.ThreadPoolExecutor(12) as threads:
        answers = threads.map(lambda v: queue(picture(v), Call())["mean"], range(48))
    assert [float(answer[0]) for answer in answers] == [*range(48)]
    assert means.most_under_way == 2 and len(means.ran) == 48


def test_stages_and_batch_are_noted(crowd, means):
    here = crowd(max_batch=4)
    calls = [Call(), Call()]
    sent = [here.send(picture(1), call) for call in calls]
    time.sleep(0.05)
    means.seconds = 0.1
    means.gate.set()
    for one, call in zip(sent, calls, strict=True):
        one.result()
        assert call.stages["run"] == pytest.approx(0.1, abs=0.02)
        assert 0.05 <= call.stages["queue"] < 0.5
        assert call.batch == 2


def test_a_storm_of_deadlines_leaves_nothing_behind():
    means = Means(seconds=0.003)
    queue = Queue(means, Plan(lanes=1, limit=50, max_batch=4))
    seen = []

    def ask(value):
        images = picture(value % 200, side=3 + value % 3)
        call = Call(deadline=time.monotonic() + 0.05)
        try:
            return float(queue(images, call)["mean"][0]) == value % 200
        except ServingError as error:
            return error.code
        finally:
            seen.append(time.monotonic() - call.started)

    with concurrent.futures.ThreadPoolExecutor(200) as threads:
        outcomes = list(threads.map(ask, range(1000)))
    assert set(outcomes) <= {True, Code.DEADLINE_EXCEEDED, Code.UNAVAILABLE}
    assert 5 < outcomes.count(True) < 1000
    assert max(seen) < 3
    assert queue.waiting == 0 and queue._free == 1 and means.under_way == 0


def test_batched_answers_are_those_of_single_ones(tmp_path):
    onnx = executors.InProcess(tiny.artifact(tmp_path), "onnx", threads=1)
    queue = Queue(onnx, Plan(lanes=1, max_batch=8))
    calls = [Call() for _ in range(200)]

    def ask(number):
        images = tiny.ramp(3 + number % 3, 5)[None] // 2 + np.uint8(number % 100)
        return images, queue(images, calls[number])

    with concurrent.futures.ThreadPoolExecutor(16) as threads:
        for images, answers in threads.map(ask, range(200)):
            expected = tiny.probabilities(images)
            np.testing.assert_allclose(answers["probabilities"], expected, atol=1e-5)
            assert answers["classes"][0, 0] == expected[0].argmax()


PARAMETERS = """
max_batch_size { value: 16 }
batch_timeout_micros { value: 2000 }
max_enqueued_batches { value: 10 }
num_batch_threads { value: 3 }
allowed_batch_sizes: 4
allowed_batch_sizes: 16
"""


def test_tf_servings_batching_parameters_make_a_plan(tmp_path):
    path = tmp_path / "batching.txt"
    path.write_text(PARAMETERS)
    assert plan_of(str(path), lanes=2, limit=256) == Plan(3, 160, 16, 0.002, (4, 16))
    path.write_text("max_batch_size { value: 8 }")
    assert plan_of(str(path), lanes=2, limit=256) == Plan(2, 256, 8, 0.0, ())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot read the batching parameters"),
        ("max_batch_size: 32", "holds no BatchingParameters"),
        ("no_such_field { value: 1 }", "holds no BatchingParameters"),
        ("max_batch_size { value: 0 }", "got max_batch_size 0, expected at least 1"),
        ("batch_timeout_micros { value: -1 }", "got batch_timeout_micros -1"),
        ("max_batch_size { value: 8 } allowed_batch_sizes: 4", "the last is max_batch_size, 8"),
        (
            "max_batch_size { value: 4 } allowed_batch_sizes: 4 allowed_batch_sizes: 4",
            "increasing sizes",
        ),
    ],
)
def test_wrong_batching_parameters_are_refused(tmp_path, text, message):
    path = tmp_path / "batching.txt"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=message):
        plan_of(str(path), lanes=1, limit=1)
