"""Speed of class mixing: the authors' loop over images and classes, and whole batches."""

import numpy as np
import torch
from scipy.ndimage import grey_dilation, grey_erosion

from wsss_lib.data.class_mixing import Choices, mix_classes, partners
from wsss_lib.tests.bench import benchmark


def flat(parts) -> torch.Tensor:
    """All results in one row."""
    return torch.cat([part.flatten().float() for part in parts])


@benchmark("class mixing with outlines, 16 images of 256 px", ratio=1.5)
def mixing():
    torch.manual_seed(0)
    images, num_labels = torch.randn(16, 3, 256, 256), 21
    labels = torch.randint(0, 6, (16, 8, 8)).repeat_interleave(32, 1).repeat_interleave(32, 2)
    confident = (torch.rand(16, 8, 8) < 0.7).long().repeat_interleave(32, 1).repeat_interleave(32, 2)
    choices = Choices(torch.ones(16, dtype=torch.bool), torch.rand(16, num_labels) < 0.5)

    def slow():
        results = []
        for n, (base, pasted) in enumerate(zip(*(index.tolist() for index in partners(16)), strict=True)):
            source = torch.where(confident[pasted] > 0, labels[pasted], 255)
            alpha = torch.zeros(256, 256)
            for label in choices.classes[n].nonzero().flatten():
                alpha[source == label] = 1
            blended = [values[base] * (1 - alpha) + values[pasted] * alpha for values in (images, labels, confident)]
            mask = alpha.numpy().astype(np.uint8)
            edge = grey_dilation(mask, (3, 3)) - grey_erosion(mask, (3, 3))
            results.append([*blended, torch.from_numpy(edge)])
        return flat(torch.stack(parts) for parts in zip(*results, strict=True))

    def fast():
        return flat(mix_classes(images, labels, confident, choices, online=(labels, confident)))

    return slow, fast
