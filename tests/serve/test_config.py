"""Options: what is refused, what is shown, and the flag of each."""

import argparse
import dataclasses
import json

import pytest

from dlcv_tf.cli import serve
from dlcv_tf.errors import InputError
from dlcv_tf.serve import executors
from dlcv_tf.serve.config import LEAST, Config

# Fields that a flag of another name, or of another unit, sets.
OTHERWISE = {
    "token": "token_file",
    "max_body": "max_megabytes",
    "max_bodies": "max_megabytes_together",
    "max_pixels": "max_megapixels",
}


@pytest.mark.parametrize("name", LEAST)
@pytest.mark.parametrize("value", [-1, float("nan"), float("inf")])
def test_numbers_have_a_least(name, value):
    with pytest.raises(InputError, match=f"got {name} {value}, expected a number from"):
        Config(**{name: value})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"port": 70000}, "got port 70000, expected 0 to 65535"),
        ({"port": 8500}, "got port 8500 for HTTP and gRPC"),
        ({"token": ""}, "got an empty token"),
        ({"token": "\u00e9"}, "other than printable ASCII"),
        ({"tls_key": "key.pem"}, "got --tls-key without --tls-certificate, expected both"),
        ({"tls_certificate": "none.pem", "tls_key": "none.pem"}, "got certificate none.pem"),
    ],
)
def test_what_makes_no_sense_is_refused(options, message):
    with pytest.raises(InputError, match=message):
        Config(**options)


def test_the_token_is_not_shown():
    shown = Config(token="s3cret").to_json()
    assert "s3cret" not in shown and json.loads(shown)["token"]
    assert json.loads(Config().to_json())["token"] is None


def test_requests_under_way_are_those_that_run_and_those_that_wait():
    assert Config(request_threads=3, queue=4).max_requests == 7
    assert Config(max_requests=5).max_requests == 5


def test_the_executors_that_can_be_named_are_those_there_are():
    assert serve.EXECUTORS == executors.NAMES


def test_every_option_has_a_flag_with_its_default():
    parser = argparse.ArgumentParser()
    serve.add_arguments(parser)
    flags = vars(parser.parse_args([]))
    for field in dataclasses.fields(Config):
        name = OTHERWISE.get(field.name, field.name)
        assert name in flags, f"{field.name} has no flag"
        if name == field.name and name != "grpc_port":
            assert flags[name] == field.default
