"""The residual encoder that the small pose networks share: one feature map at each stride."""

from keras import layers

from dlcv_tf.layers.blocks import convolution_relu, residual


def encoder(images, widths: tuple[int, ...], blocks: int = 1) -> list:
    """Adds a stem at stride 2, then a stage of residual blocks at half the size for each width.

    Args:
        images: (batch, height, width, channels) preprocessed pictures.
        widths: filters of the stem and of each stage: strides 2, 4, 8, ...
        blocks: residual blocks in a stage; the first has the stride.

    Returns:
        The feature maps, that of the stem first.
    """
    x = convolution_relu(images, widths[0], stride=2, padding="same", name="stem")
    features = [x]
    for stage, width in enumerate(widths[1:], start=2):
        for block in range(blocks):
            name, stride = f"stage{stage}_block{block + 1}", 2 if block == 0 else 1
            x = residual(x, width, stride=stride, padding="same", name=name)
        features.append(layers.Identity(name=f"c{stage}")(x))
    return features
