"""The wrapped picture against the one that the authors' program made."""

import numpy as np

from wsss_lib.labels.crf_image import wrapped_bytes
from wsss_lib.tests.golden_files import COMMITTED, Golden


def test_picture_of_the_authors():
    golden = Golden(COMMITTED / "ktse/beco_postprocess_crf.npz")
    for case in golden.cases:
        assert np.array_equal(wrapped_bytes(golden[f"in_{case}_img"]), golden[f"in_{case}_crf_image"])


def test_by_loops():
    picture = np.random.default_rng(0).integers(0, 256, (3, 4, 3)).astype(np.uint8)
    for place, value in np.ndenumerate(wrapped_bytes(picture, (100.5, 50, 200))):
        shifted = int(picture[place]) - (100.5, 50, 200)[place[2]]
        assert value == int(shifted) % 256
