"""The picture that a dense CRF sees in programs that hand it the network's input instead of the photograph."""

import numpy as np

CAFFE_MEAN = (122.675, 116.669, 104.008)  # RGB, 0 to 255


def wrapped_bytes(picture: np.ndarray, mean: tuple[float, float, float] = CAFFE_MEAN) -> np.ndarray:
    """Picture minus the mean color, cut to whole numbers, negative ones wrapped around to 256 and less.

    BECO's test program does so, as deeplab-pytorch does: pixels a shade apart, on either side of the mean, become as
    different as can be. Use it to redo their numbers, and the photograph itself otherwise.

    Args:
        picture: RGB, uint8 [H, W, 3].
        mean: RGB, 0 to 255.

    Returns:
        uint8 [H, W, 3].

    >>> wrapped_bytes(np.array([[[123, 117, 105], [122, 116, 103]]], np.uint8)).tolist()
    [[[0, 0, 0], [0, 0, 255]]]
    """
    shifted = np.asarray(picture, np.float64) - np.asarray(mean)
    return np.trunc(shifted).astype(np.int64).astype(np.uint8)
