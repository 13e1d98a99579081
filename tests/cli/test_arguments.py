"""`key=value` arguments."""

import dataclasses

import pytest

from dlcv_tf import recipes
from dlcv_tf.cli import arguments
from dlcv_tf.errors import InputError


@dataclasses.dataclass(frozen=True)
class Values:
    """One field of every kind."""

    epochs: int = 10
    learning_rate: float = 0.1
    shuffle: bool = True
    data: str = "digits"
    image_size: tuple[int, int] | None = None
    mean: tuple[float, ...] = (127.5,)
    augmentations: tuple[str, ...] = ("flip", "shift")
    options: dict = dataclasses.field(default_factory=dict)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("epochs=3", 3),
        ("epochs=-3", -3),
        ("learning_rate=1e-2", 0.01),
        ("learning_rate=1", 1.0),
        ("shuffle=false", False),
        ("shuffle=True", True),
        ("data=folder:a=b", "folder:a=b"),
        ("data=", ""),
        ("data=none", "none"),
        ("image_size=32,48", (32, 48)),
        ("image_size=(32, 48)", (32, 48)),
        ("image_size=none", None),
        ("mean=1,2.5,3", (1.0, 2.5, 3.0)),
        ("mean=7", (7.0,)),
        ("augmentations=flip", ("flip",)),
        ("augmentations=", ()),
        ('options={"filters": [4, 8]}', {"filters": [4, 8]}),
    ],
)
def test_a_value_gets_its_fields_type(text, value):
    key = text.partition("=")[0]
    found = arguments.changes([text], Values())
    assert found == {key: value}
    assert type(found[key]) is type(value)


def test_several_keys():
    assert arguments.changes(["epochs=3", "data=x"], Values()) == {"epochs": 3, "data": "x"}
    assert arguments.changes([], Values()) == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epochs=ten", "got epochs=ten, expected a whole number, as in epochs=10"),
        ("epochs=1.5", "expected a whole number"),
        ("epochs=", "expected a whole number"),
        ("epochs=none", "expected a whole number"),
        ("learning_rate=fast", "expected a number, as in learning_rate=0.1"),
        ("learning_rate=nan", "expected a number"),
        ("learning_rate=inf", "expected a number"),
        ("shuffle=yes", "expected true or false, as in shuffle=true"),
        ("image_size=32", "expected 2 with commas between, each a whole number or none"),
        ("image_size=1,2,3", "as in image_size=none"),
        ("mean=1,x", "expected several with commas between, each a number, as in mean=127.5"),
        ("options=[1]", "expected a JSON object, as in options='{}'"),
        ("options={", "expected a JSON object"),
    ],
)
def test_a_bad_value_says_what_is_expected(text, message):
    with pytest.raises(InputError) as error:
        arguments.changes([text], Values())
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["epoch=3"], "unknown key 'epoch': did you mean 'epochs'?"),
        (["epochs"], "got 'epochs', expected key=value, one of epochs, learning_rate"),
        (["epochs=1", "epochs=2"], "got epochs twice"),
    ],
)
def test_a_bad_key(texts, message):
    with pytest.raises(InputError) as error:
        arguments.changes(texts, Values())
    assert message in str(error.value)


def test_the_recipes_own_fields():
    recipe = recipes.get("digits_linear")
    found = arguments.changes(["image_size=16,16", "epochs=2", "augmentations=shift"], recipe)
    changed = recipe.replace(**found)
    assert (changed.image_size, changed.epochs, changed.augmentations) == ((16, 16), 2, ("shift",))


@pytest.mark.parametrize("field", dataclasses.fields(recipes.Recipe), ids=lambda field: field.name)
def test_every_field_of_a_recipe_can_be_written_and_read_back(field):
    recipe = recipes.get("mnist_convnet")
    text = f"{field.name}={arguments.text_of(getattr(recipe, field.name))}".replace("'", "")
    value = getattr(recipe, field.name)
    if field.type is dict:
        value = {key: list(inner) for key, inner in value.items()}  # JSON knows no tuples
    assert arguments.changes([text], recipe) == {field.name: value}


@pytest.mark.parametrize(
    ("texts", "value", "others"),
    [
        ([], "on", []),
        (["epochs=3", "tuned=off"], "on", ["epochs=3", "tuned=off"]),
        (["epochs=3", "tune=off", "data=tune=on"], "off", ["epochs=3", "data=tune=on"]),
        (["tune=on"], "on", []),
    ],
)
def test_a_key_is_taken_out(texts, value, others):
    assert arguments.taken(texts, "tune", ("on", "off")) == (value, others)


@pytest.mark.parametrize(
    "texts", [["tune=maybe"], ["tune="], ["tune"], ["tune=ON"], ["tune=on", "tune=on"]]
)
def test_a_key_taken_out_has_one_of_its_values_once(texts):
    with pytest.raises(InputError, match=f"got {' '.join(texts)}, expected tune=on or tune=off"):
        arguments.taken(["epochs=3", *texts], "tune", ("on", "off"))


def test_refuse_changes():
    arguments.refuse_changes([], "--resume", "it has its own")
    with pytest.raises(InputError, match=r"got epochs=3 beside --resume.*: it has its own"):
        arguments.refuse_changes(["epochs=3"], "--resume", "it has its own")
