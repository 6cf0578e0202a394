"""A classifier and the weights of its unrolled decoder (arXiv 2407.03009): the same ones, or copies of their own."""

import torch
from torch import Tensor, nn

from wsss_lib.networks.base import Backbone, Normalization
from wsss_lib.networks.classifier import ClassifierOutput

TIES = ("shared", "untied")


class UnrolledClassifier(nn.Module):
    """Classifier whose relevance maps are trained; see :mod:`wsss_lib.maps.relevance`.

    Args:
        classifier: returns :class:`ClassifierOutput`.
        tie: "shared": the decoder has no weights of its own, whatever is loaded and wherever the network is moved;
            "untied": it has a copy of every weight of a convolution or linear layer, equal at the beginning and trained
            apart, which is what the authors' code does on a GPU.

    Raises:
        ValueError: there is no such tie.
    """

    def __init__(self, classifier: nn.Module, tie: str = "shared"):
        super().__init__()
        if tie not in TIES:
            raise ValueError(f"tie {tie!r} is not known; choose one of {', '.join(TIES)}")
        self.classifier = classifier
        layers = dict(classifier.named_modules()) if tie == "untied" else {}
        self.mirrored = [name for name, layer in layers.items() if isinstance(layer, nn.Conv2d | nn.Linear)]
        self.copies = nn.ParameterList([layers[name].weight.detach().clone() for name in self.mirrored])

    @property
    def normalization(self) -> Normalization:
        """Input scaling that the classifier's weights expect."""
        return self.classifier.normalization

    def decoder_weights(self) -> dict[str, Tensor]:
        """Weights of the decoder by the classifier's layer names; empty where they are the classifier's."""
        return dict(zip(self.mirrored, self.copies, strict=True))

    def forward(self, images: Tensor) -> ClassifierOutput:
        return self.classifier(images)


@torch.no_grad()
def fold_input_scaling(encoder: Backbone, scaling: Normalization) -> None:
    """Let a trained encoder take another input scaling: its first convolution takes up the difference.

    Relevance is the input times a gradient, so a pixel of value 0 has none; an input around zero has such pixels
    everywhere. The features stay the same but at the border, where padding with zeros now means another color. A bias
    of the first convolution is trained from now on, even where the layer is frozen.

    Raises:
        ValueError: the channel orders of the two scalings differ.
    """
    old = encoder.normalization
    if old.order != scaling.order:
        raise ValueError(f"the encoder reads {old.order}, the new scaling is for {scaling.order}")
    first = next(layer for layer in encoder.modules() if isinstance(layer, nn.Conv2d))
    means, stds = (first.weight.new_tensor([getattr(of, name) for of in (scaling, old)]) for name in ("mean", "std"))
    added = first.weight.sum((2, 3)) @ ((means[0] - means[1]) / stds[1])
    first.bias = nn.Parameter(added if first.bias is None else first.bias + added)
    first.weight *= (stds[0] / stds[1])[:, None, None]
    encoder.normalization = scaling
