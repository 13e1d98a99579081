"""ONNX, for ONNX Runtime, Triton, TensorRT and OpenVINO."""

import pathlib

OPSET = 18  # tf2onnx 1.17 refuses newer ones
DIMENSIONS = {0: "batch", 1: "height", 2: "width"}


def export_onnx(saved_model: str | pathlib.Path, path: str | pathlib.Path) -> pathlib.Path:
    """Converts the `serving_default` signature of a SavedModel.

    Inputs and outputs keep their names; batch, height and width stay free where they were.

    Args:
        saved_model: directory with a SavedModel.
        path: file to write.

    Returns:
        The path.

    Raises:
        onnx.checker.ValidationError: an op was left that ONNX does not have.
    """
    import onnx
    import tf2onnx

    from dlcv_tf.export.saved_model import frozen_function

    function, names = frozen_function(saved_model)
    inputs = {tensor.name: tensor.name.split(":")[0] for tensor in function.inputs}
    outputs = {tensor.name: name for tensor, name in zip(function.outputs, names, strict=True)}
    model, _ = tf2onnx.convert.from_graph_def(
        function.graph.as_graph_def(),
        input_names=list(inputs),
        output_names=list(outputs),
        opset=OPSET,
        tensors_to_rename=inputs | outputs,
    )
    for tensor in [*model.graph.input, *model.graph.output]:
        for axis, dimension in enumerate(tensor.type.tensor_type.shape.dim):
            if not dimension.HasField("dim_value") or dimension.dim_value <= 0:
                dimension.dim_param = DIMENSIONS[axis]
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, str(path))
    return pathlib.Path(path)
