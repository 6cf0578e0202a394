"""One class per image to explain, drawn from those that are present (Rao et al., ICCV 2023)."""

import torch
from torch import Tensor


def random_positive_classes(class_labels: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """A present class of each image, all alike, int64 [B] on the CPU; -1 for an image without any.

    Departs from the authors' code, in which an image without a label ends the training.

    Args:
        class_labels: [B, K], 1 where a class is present.
        generator: on the CPU, so that all devices draw the same.

    >>> random_positive_classes(torch.tensor([[0, 1, 0], [0, 0, 0]]))
    tensor([ 1, -1])
    """
    if class_labels.ndim != 2:
        raise ValueError(f"class labels {list(class_labels.shape)} should be [B, K]")
    present = (class_labels.detach().cpu() > 0).float()
    number = present.sum(1, keepdim=True)
    shares = torch.where(number > 0, present / number.clamp(min=1), 1.0)
    drawn = torch.multinomial(shares, 1, generator=generator)[:, 0] if len(shares) else number[:, 0].long()
    return torch.where(number[:, 0] > 0, drawn, -1)
