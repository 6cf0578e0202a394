"""Losses of the displacement field: pixels of one object point to one center (IRN, section 3.3)."""

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from wsss_lib.labels.affinity_labels import PairLabels
from wsss_lib.labels.pixel_pairs import Displacements, pair_views


class DisplacementErrors(torch.autograd.Function):
    """Sums of absolute errors over foreground and over background pairs, [2].

    The gradient of a sum of absolute values is known with the sum: it is made in the forward pass, one displacement
    after the other, and takes the memory of two fields.
    """

    @staticmethod
    def forward(ctx, fields: Tensor, labels: PairLabels, displacements: Displacements) -> Tensor:
        errors = fields.new_zeros(2)
        grads = fields.new_zeros(2, *fields.shape)
        views = zip(displacements, pair_views(fields, displacements), pair_views(grads, displacements), strict=True)
        for number, (displacement, (source, destination), (grad_source, grad_destination)) in enumerate(views):
            difference = source - destination  # [B, 2, rows, columns]
            expected = fields.new_tensor(displacement).view(2, 1, 1)
            for kind, error in enumerate((difference - expected, difference)):
                pairs = labels[1 - kind][:, None, number].view(len(fields), 1, *difference.shape[2:])
                error = error * pairs
                errors[kind] += error.abs().sum()
                change = error.sign_()
                grad_source[kind] += change
                grad_destination[kind] -= change
        ctx.save_for_backward(grads)
        return errors

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_errors: Tensor) -> tuple[Tensor, None, None]:
        (grads,) = ctx.saved_tensors
        return torch.einsum("k,kbchw->bchw", grad_errors, grads), None, None


def displacement_terms(
    fields: Tensor, labels: PairLabels, displacements: Displacements, eps: float = 1e-5
) -> dict[str, Tensor]:
    """Both terms with their weight of one half.

    In the foreground the difference of the fields of two pixels should be the vector between them, so that both point
    to one center. In the background it should be zero: there is no center.

    Args:
        fields: (dy, dx), px of the map, [B, 2, h, w].
        labels: from :func:`wsss_lib.labels.affinity_labels.pair_labels`.
        displacements: those of the labels.
        eps: guard of the number of pairs; a term without a pair is 0.

    >>> labels = PairLabels(*torch.tensor([False, True, False]).view(3, 1, 1, 1))
    >>> displacement_terms(torch.tensor([[[[0.0, 0.0]], [[1.0, -1.0]]]]), labels, [(0, 1)])["displacement, foreground"]
    tensor(0.2500)

    Raises:
        ValueError: labels of another size.
    """
    kinds = {"displacement, foreground": labels.foreground, "displacement, background": labels.background}
    rows, columns = next(pair_views(fields, displacements))[0].shape[2:]
    expected = (len(fields), len(displacements), rows * columns)
    if tuple(labels.foreground.shape) != expected:
        raise ValueError(
            f"displacement fields {list(fields.shape)} with labels {list(labels.foreground.shape)} instead of "
            f"{list(expected)}; the label maps should have the size of the fields, the same displacements and padding"
        )
    errors = DisplacementErrors.apply(fields.float(), labels, displacements)
    return {
        name: error / (2 * pairs.sum() + eps) / 2 for (name, pairs), error in zip(kinds.items(), errors, strict=True)
    }
