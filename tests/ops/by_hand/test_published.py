"""The course's own checks of these layers: CS231n, assignment 2, whose pictures are channels-first.

Printed values of FullyConnectedNets.ipynb and ConvolutionalNetworks.ipynb (2016 to 2023 alike).
"""

import numpy as np

from dlcv_tf.ops.by_hand import affine, convolution, pooling


def ramp(low, high, *shape):
    return np.linspace(low, high, int(np.prod(shape))).reshape(shape)


def test_affine_forward():
    out, _ = affine.forward(
        ramp(-0.1, 0.5, 2, 4, 5, 6), ramp(-0.2, 0.3, 120, 3), ramp(-0.3, 0.1, 3)
    )
    printed = [[1.49834967, 1.70660132, 1.91485297], [3.25553199, 3.5141327, 3.77273342]]
    np.testing.assert_allclose(out, printed, atol=5e-9)


def test_conv_forward():
    images = ramp(-0.1, 0.5, 2, 3, 4, 4).transpose(0, 2, 3, 1)
    kernel = ramp(-0.2, 0.3, 3, 3, 4, 4).transpose(2, 3, 1, 0)
    printed = [
        [
            [[-0.08759809, -0.10987781], [-0.18387192, -0.2109216]],
            [[0.21027089, 0.21661097], [0.22847626, 0.23004637]],
            [[0.50813986, 0.54309974], [0.64082444, 0.67101435]],
        ],
        [
            [[-0.98053589, -1.03143541], [-1.19128892, -1.24695841]],
            [[0.69108355, 0.66880383], [0.59480972, 0.56776003]],
            [[2.36270298, 2.36904306], [2.38090835, 2.38247847]],
        ],
    ]
    for method in convolution.METHODS:
        options = {"stride": 2, "padding": 1, "method": method}
        out, _ = convolution.forward(images, kernel, ramp(-0.1, 0.2, 3), **options)
        np.testing.assert_allclose(np.transpose(out, (0, 3, 1, 2)), printed, atol=5e-9)


def test_max_pool_forward():
    out, _ = pooling.max_forward(ramp(-0.3, 0.4, 2, 3, 4, 4).transpose(0, 2, 3, 1), 2, 2)
    printed = [
        [
            [[-0.26315789, -0.24842105], [-0.20421053, -0.18947368]],
            [[-0.14526316, -0.13052632], [-0.08631579, -0.07157895]],
            [[-0.02736842, -0.01263158], [0.03157895, 0.04631579]],
        ],
        [
            [[0.09052632, 0.10526316], [0.14947368, 0.16421053]],
            [[0.20842105, 0.22315789], [0.26736842, 0.28210526]],
            [[0.32631579, 0.34105263], [0.38526316, 0.4]],
        ],
    ]
    np.testing.assert_allclose(np.transpose(out, (0, 3, 1, 2)), printed, atol=5e-9)
