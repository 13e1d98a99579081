"""Classification and regression of tf.Example protos, for REST and gRPC.

The rules and texts are those of `servables/tensorflow/{classifier,regressor,multi_inference}.cc` of
https://github.com/tensorflow/serving.
"""

import numpy as np

from dlcv_tf.artifact import tfs_messages
from dlcv_tf.serve.call import Call
from dlcv_tf.serve.errors import Code, ServingError, invalid
from dlcv_tf.serve.model import DEFAULT_SIGNATURE, Model

PREDICT = "tensorflow/serving/predict"
CLASSIFY = "tensorflow/serving/classify"
REGRESS = "tensorflow/serving/regress"
_KINDS = {CLASSIFY: "classification", REGRESS: "regression"}


def classify(model: Model, signature_name: str, examples, call: Call):
    """Returns the ClassificationResult of some examples.

    Args:
        model: who answers.
        signature_name: of a signature of method classify; "" for the default one.
        examples: the Input message.
        call: gets what is measured.

    Raises:
        ServingError: in TF Serving's words.
    """
    name = _signature(model, signature_name, CLASSIFY)
    return _classifications(_run(model, name, examples, call))


def regress(model: Model, signature_name: str, examples, call: Call):
    """Returns the RegressionResult of some examples; arguments and errors as of `classify`."""
    name = _signature(model, signature_name, REGRESS)
    return _regressions(_run(model, name, examples, call))


def infer(model: Model, tasks, examples, call: Call) -> list:
    """Returns the InferenceResults of several tasks on the same examples.

    Args:
        model: who answers; all tasks name it.
        tasks: InferenceTask messages.
        examples: the Input message.
        call: gets what is measured.

    Raises:
        ServingError: in TF Serving's words.
    """
    names: list[str] = []
    for task in tasks:
        name = task.model_spec.signature_name or DEFAULT_SIGNATURE
        if name in names:
            raise invalid(f"Duplicate evaluation of signature: {name}")
        if name not in model.signatures:
            raise invalid(f"Requested signature not found in model graph: {name}")
        if task.method_name not in _KINDS:
            message = f"Unsupported signature method_name: {task.method_name}"
            raise ServingError(Code.UNIMPLEMENTED, message)
        names.append(_signature(model, name, task.method_name))
    results = []
    for name, task in zip(names, tasks, strict=True):
        outputs = _run(model, name, examples, call)
        result = tfs_messages.InferenceResult()
        if task.method_name == CLASSIFY:
            result.classification_result.CopyFrom(_classifications(outputs))
        else:
            result.regression_result.CopyFrom(_regressions(outputs))
        results.append(result)
    return results


def _signature(model: Model, name: str, method: str) -> str:
    """Returns the name of a signature, which must be of a method."""
    name = name or DEFAULT_SIGNATURE
    if name not in model.signatures:
        raise invalid(f"No signature was found with the name: {name}")
    got = model.signatures[name].get("method", PREDICT)
    if got != method:
        raise invalid(f"Expected {_KINDS[method]} signature method_name to be {method}. Was: {got}")
    return name


def _run(model: Model, name: str, examples, call: Call) -> dict[str, np.ndarray]:
    return model.predict({"inputs": _serialized(examples)}, name, call)


def _serialized(examples) -> np.ndarray:
    """Returns the examples of an Input, each serialized, with the context merged into it."""
    kind = examples.WhichOneof("kind")
    messages = getattr(examples, kind).examples if kind else ()
    if not messages:
        raise invalid("Input is empty.")
    context = b""
    if kind == "example_list_with_context":
        context = examples.example_list_with_context.context.SerializeToString()
    serialized = np.empty(len(messages), dtype=object)
    # Protos are merged by writing one after the other; what stands in both is the example's.
    serialized[:] = [context + message.SerializeToString() for message in messages]
    return serialized


def _classifications(outputs: dict[str, np.ndarray]):
    result = tfs_messages.ClassificationResult()
    labels, scores = outputs["classes"].tolist(), outputs["scores"].tolist()
    for own_labels, own_scores in zip(labels, scores, strict=True):
        classes = result.classifications.add().classes
        for label, score in zip(own_labels, own_scores, strict=True):
            classes.add(label=label, score=score)
    return result


def _regressions(outputs: dict[str, np.ndarray]):
    result = tfs_messages.RegressionResult()
    values = outputs["outputs"]
    if values.ndim not in (1, 2) or values.shape[1:] not in ((), (1,)):
        raise invalid(
            "Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got "
            f"{list(values.shape)}"
        )
    for value in values.ravel().tolist():
        result.regressions.add(value=value)
    return result
