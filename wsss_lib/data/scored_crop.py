"""Training crop of AffinityNet: the image and its pixel scores (of a dense CRF, say) cut and mirrored alike."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from torch import Tensor

from wsss_lib.data.batch import Draws, Sample
from wsss_lib.data.transforms import Normalization, color_jitter, normalized, random_window, to_pixels


@dataclass(frozen=True)
class ScoredCrop:
    """Random crop and flip of an image and of the scores of its pixels, which become the label map of the crop.

    Where the image does not reach, the canvas is black and the scores are 0. The numbers are drawn as by the authors'
    code of AffinityNet: colours, then the crop, then the flip.

    Attributes:
        crop: side of the result, px.
        folder: holds the scores of each image as ``<id>.npz``.
        read: such a file to the scores, [..., H, W], and what else it holds.
        labels_of: scores of the crop, [..., crop, crop], to its label map, int [h, w]; given as the mask of the batch.
        jitter: change the colours.
    """

    normalization: Normalization
    crop: int
    folder: Path
    read: Callable[[Path], tuple[Tensor, Tensor]]
    labels_of: Callable[[Tensor], Tensor]
    jitter: bool = True

    def __call__(self, sample: Sample, rng: Draws) -> tuple[Tensor, Tensor]:
        scores, _ = self.read(self.folder / f"{sample.id}.npz")
        self._check_size(sample.id, sample.image, scores)
        image = color_jitter(sample.image, rng) if self.jitter else sample.image
        window = random_window(image.height, image.width, self.crop, rng)
        pixels, scores = window.cut(to_pixels(image), 0), window.cut(scores, 0)
        if rng.getrandbits(1):
            pixels, scores = pixels.flip(-1), scores.flip(-1)
        return normalized(pixels, self.normalization), self.labels_of(scores)

    @staticmethod
    def _check_size(name: str, image: Image.Image, scores: Tensor) -> None:
        if tuple(scores.shape[-2:]) != (image.height, image.width):
            raise ValueError(
                f"scores of {name} are {scores.shape[-2]} x {scores.shape[-1]}, the image is {image.height} x "
                f"{image.width}; make them from maps of this data set, at the size of the images"
            )
