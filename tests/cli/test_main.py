"""Finding and running a verb, and every way in which it can end."""

import json
import pathlib
import subprocess
import sys
import time

import pytest

import dlcv_tf
from dlcv_tf import errors
from dlcv_tf.cli import list as list_verb
from dlcv_tf.cli import main

CLI = pathlib.Path(main.__file__).parent
COMMAND = [sys.executable, "-m", "dlcv_tf.cli.main"]


def dlcv(*arguments, **options):
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, **options)


def fails_with(error):
    def run(options):
        raise error

    return run


def test_help_names_every_verb_and_answers_at_once():
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        done = dlcv("--help")
        seconds.append(time.perf_counter() - started)
    assert done.returncode == 0
    assert all(f"\n  {verb} " in done.stdout for verb in main.VERBS)
    assert min(seconds) < 0.4


def test_without_a_verb_help_is_shown(capsys):
    assert main.main([]) == 0
    assert "verbs:" in capsys.readouterr().out


def test_version(capsys):
    with pytest.raises(SystemExit) as end:
        main.main(["--version"])
    assert end.value.code == 0
    assert capsys.readouterr().out == f"dlcv {dlcv_tf.__version__}\n"


def test_every_verb_has_its_module_and_every_module_of_a_verb_is_listed():
    modules = {path.stem for path in CLI.glob("*.py") if "def add_arguments" in path.read_text()}
    assert modules == set(main.VERBS)


@pytest.mark.parametrize("verb", main.VERBS)
def test_the_help_of_a_verb_needs_no_tensorflow(verb):
    program = (
        "import sys\nfrom dlcv_tf.cli import main\n"
        f"try: main.main([{verb!r}, '--help'])\n"
        "except SystemExit as end: print(end.code, 'tensorflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "0 False"
    assert f"usage: dlcv {verb}" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["lst"], "unknown verb 'lst': did you mean 'list'?"),
        (["--jsn"], "unrecognized arguments: --jsn"),
        (["list", "recipe"], "did you mean 'recipes'?"),
        (["list", "recipes", "more"], "got 'more', expected nothing more"),
        (["list", "--jsno"], "unknown option of dlcv list '--jsno': did you mean '--json'?"),
        (["list", "--js"], "did you mean '--json'?"),
        (["list", "--models"], "argument --models: expected one argument: dlcv list --help"),
        (["train"], "the following arguments are required: recipe"),
        (["train", "digits_liner"], "unknown recipe 'digits_liner': did you mean 'digits_linear'?"),
        (
            ["train", "digits_linear", "tune=maybe"],
            "got tune=maybe, expected tune=on or tune=off",
        ),
        (["train", "digits_linear", "tune=on", "tune=off"], "got tune=on tune=off, expected"),
        (["train", "digits_linear", "tune"], "got tune, expected tune=on or tune=off"),
        (["train", "digits_linear", "tun=off"], "unknown key 'tun'"),
        (["train", "digits_linear", "--resume", "tune=off"], "got tune=off beside --resume"),
        (["train", "digits_linear", "epoch=3"], "did you mean 'epochs'?"),
        (["train", "digits_linear", "--smoke", "epochs=x"], "expected a whole number"),
    ],
)
def test_bad_input_is_one_line_and_status_2(arguments, message, capsys):
    assert main.main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    (line,) = err.splitlines()
    assert line.startswith("dlcv: ")
    assert message in line


def test_a_message_of_several_lines_is_printed_as_one(monkeypatch, capsys):
    monkeypatch.setattr(list_verb, "run", fails_with(errors.InputError("got one\n  and two")))
    assert main.main(["list"]) == 2
    assert capsys.readouterr().err == "dlcv: got one and two\n"


def test_what_the_machine_refuses_is_one_line_and_status_1(monkeypatch, capsys):
    full = OSError(28, "No space left on device", "runs/x/checkpoint.npz")
    monkeypatch.setattr(list_verb, "run", fails_with(full))
    assert main.main(["list"]) == 1
    assert capsys.readouterr().err == "dlcv: runs/x/checkpoint.npz: No space left on device\n"


def test_what_fails_with_good_input_is_one_line_and_status_1(monkeypatch, capsys):
    refused = errors.RefusedError("onnx differs by 0.5: nothing was exported")
    monkeypatch.setattr(list_verb, "run", fails_with(refused))
    assert main.main(["list"]) == 1
    assert capsys.readouterr().err == "dlcv: onnx differs by 0.5: nothing was exported\n"


def test_a_fault_of_ours_is_not_hidden(monkeypatch):
    monkeypatch.setattr(list_verb, "run", fails_with(KeyError("ours")))
    with pytest.raises(KeyError, match="ours"):
        main.main(["list"])


def test_the_traceback_can_be_asked_for(monkeypatch):
    monkeypatch.setenv("DLCV_TRACEBACK", "1")
    with pytest.raises(errors.InputError, match="unknown verb"):
        main.main(["lst"])


def test_ctrl_c_is_one_line_and_status_130():
    program = (
        "import os, signal, sys, time\n"
        # A shell's background jobs start with Ctrl-C ignored, and pass that on.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from dlcv_tf.cli import list as verb, main\n"
        "verb.run = lambda options: os.kill(os.getpid(), signal.SIGINT) or time.sleep(60)\n"
        "sys.exit(main.main(['list']))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 130
    (line,) = done.stderr.splitlines()
    assert line.startswith("dlcv: interrupted")
    assert "--resume" in line


def test_a_reader_that_leaves_early_is_no_fault(monkeypatch):
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)  # what is buffered fails at the end
    command = " ".join(COMMAND)
    done = subprocess.run(
        f"{command} list datasets | true", shell=True, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_under_json_stdout_holds_one_object_and_nothing_else(monkeypatch, capsys):
    answer = list_verb.console.print_json

    def run(options):
        print("Keras says something")
        answer({"a": 1})
        print("and something more")
        return 0

    monkeypatch.setattr(list_verb, "run", run)
    assert main.main(["list", "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out) == {"a": 1}
    assert err == "Keras says something\nand something more\n"
    assert main.main(["list"]) == 0
    assert "Keras says something" in capsys.readouterr().out
