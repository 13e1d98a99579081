"""`models.config`: what it may say, and the errors that tell how to mend it."""

import pathlib

import pytest

from dlcv_tf.artifact import tfs_messages
from dlcv_tf.errors import InputError
from dlcv_tf.serve import models_config
from dlcv_tf.serve.models_config import Source
from dlcv_tf.serve.version_policy import Policy


def one(fields: str) -> str:
    return f"model_config_list {{ config {{ {fields} }} }}"


def parse(text: str) -> list[Source]:
    return models_config.parse(text, "/etc/serving/models.config")


def test_all_that_tf_serving_says_of_a_model(tmp_path):
    path = tmp_path / "models.config"
    path.write_text("""
model_config_list: {
  # The classifier, with a canary.
  config: {
    name: "net",
    base_path: "/models/net",
    model_platform: "tensorflow",
    model_version_policy: { specific: { versions: 41, versions: 42 } }
    version_labels: { key: 'stable', value: 41 }
    version_labels: { key: 'canary', value: 42 }
  }
  config { name: "other" base_path: "nets/other"
    model_version_policy { latest { num_versions: 3 } } }
  config { name: "third" base_path: "third" model_version_policy { all {} } }
}""")
    specific = Policy(specific=frozenset({41, 42}))
    labels = {"stable": 41, "canary": 42}
    assert models_config.read(path) == [
        Source("net", pathlib.Path("/models/net"), specific, labels),
        Source("other", tmp_path / "nets" / "other", Policy(latest=3)),
        Source("third", tmp_path / "third", Policy(all=True)),
    ]
    assert parse(models_config.EXAMPLE) == [Source("net", pathlib.Path("/models/net"))]


def test_one_version_is_the_default_and_zero_is_one():
    for policy in ("", "model_version_policy { latest {} }"):
        assert parse(one(f'name: "a" base_path: "/a" {policy}'))[0].policy == Policy(latest=1)


def test_an_empty_list_is_a_list_and_none_is_an_error():
    assert parse("model_config_list {}") == []
    with pytest.raises(InputError, match="got no models, expected a model_config_list"):
        parse("")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model_config_list { config { name: 'a'", r"models.config:1:\d+ : Expected .*such as"),
        (one("name: 'a' base_pth: '/a'"), 'has no field named "base_pth"'),
        (one("base_path: '/a'"), "got '' as a model's name"),
        (one("name: 'a/b' base_path: '/a'"), "got 'a/b' as a model's name, expected one without"),
        (one("name: '..' base_path: '/a'"), "as a model's name"),
        (one("name: 'a'"), "model 'a': got no base_path, expected the directory"),
        (one("name: 'a' base_path: 's3://b/a'"), "copy the model here, or mount its bucket"),
        (
            one("name: 'a' base_path: '/a' model_platform: 'caffe'"),
            "got the model_platform 'caffe', expected 'tensorflow' or none",
        ),
        (
            one("name: 'a' base_path: '/a' model_version_policy { specific {} }"),
            r"got specific versions \[\], expected one or more",
        ),
        (
            one("name: 'a' base_path: '/a' version_labels { key: '' value: 1 }"),
            "got version 1 for the label ''",
        ),
        (
            "model_config_list {"
            + "config { name: 'a' base_path: '/a' } config { name: 'a' base_path: '/b' }}",
            r"got \['a'\] twice, expected each model once",
        ),
        ("custom_model_config {}", "got custom_model_config, expected a model_config_list"),
    ],
)
def test_errors_say_how_to_mend_them(text, message):
    with pytest.raises(InputError, match=message) as caught:
        parse(text)
    assert str(caught.value).startswith("/etc/serving/models.config:")


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(InputError, match="models.config, which cannot be read: .*No such file"):
        models_config.read(tmp_path / "models.config")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="binary as models.config, which cannot be read"):
        models_config.read(tmp_path / "binary")


def test_a_message_of_the_reload_call_is_the_same():
    message = tfs_messages.ReloadConfigRequest()
    config = message.config.model_config_list.config.add(name="net", base_path="net")
    config.model_version_policy.specific.versions.append(7)
    policy = Policy(specific=frozenset({7}))
    expected = [Source("net", pathlib.Path("/models/net"), policy)]
    assert models_config.sources(message.config, "/models") == expected
