"""Files that the authors of Unrolled LRP saved (arXiv 2407.03009): encoder and, where it is untied, decoder.

Their U-Nets have our names and need no more than :func:`wsss_lib.networks.unet.unet_from_authors`:
``load_weights(network, file, rename=unet_from_authors)``.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from wsss_lib.networks.checkpoints import (
    Loaded,
    classifier_from_authors,
    load_weights,
    read_state_dict,
    rename_entries,
    shortened,
    without_wrappers,
)
from wsss_lib.networks.resnet import ResNet
from wsss_lib.networks.unrolled import UnrolledClassifier
from wsss_lib.networks.vgg import VGG16
from wsss_lib.networks.vgg_classifier import VGGClassifier, vgg_classifier_from_torchvision

DECODER = "tied_weights_decoder."
VGG_LINEAR = (6, 3, 0)  # torchvision's numbers of the linear layers, in the order in which relevance meets them


def load_unrolled(network: nn.Module, source: str | Path | Mapping[str, Tensor]) -> Loaded:
    """Load a whole file of the authors' ``unrolled_lrp``, or of their pretraining.

    Entries of the encoder begin with ``encoder.``, in older files with ``encoder.backbone.``; below
    ``tied_weights_decoder.`` are the weights of the decoder, and second names of those of the encoder, which are left
    aside. A file saved on a GPU has an untied decoder; that of a ResNet older than the release has no weight of the
    linear layer, and gets the encoder's.

    Args:
        network: :class:`UnrolledClassifier` on a ResNet or VGG-16, of the file's size and number of logits; or the
            classifier alone (``Classifier`` with a bias, ``VGGClassifier``), which takes the encoder and no decoder.
        source: a file (see :func:`wsss_lib.networks.checkpoints.read_state_dict`) or a state dict.

    Returns:
        Names of the file that were left aside, as ``unused``.

    Raises:
        ValueError: entries are missing, unexpected or of other shapes; the network is untied and the file has no
            decoder; or the decoder of the file differs from its encoder and the network is tied. The network is
            unchanged.
    """
    stored = source if isinstance(source, Mapping) else read_state_dict(source)
    where = "the state dict" if isinstance(source, Mapping) else str(source)
    if not isinstance(network, UnrolledClassifier):
        return load_weights(network, stored, rename=lambda name: encoder_entry(network, name))

    entries = decoder_entries(network.classifier, stored)
    if not network.mirrored:
        check_tied(network.classifier, stored, entries, where)
        return load_weights(network.classifier, stored, rename=lambda name: encoder_entry(network.classifier, name))
    if not entries:
        raise ValueError(
            f"{where} has no weights of a decoder (such as {DECODER}decoder.inv_linear_1.inv_m.weight); it has "
            f"{shortened(stored, stored)}. Load an encoder into the classifier, before the classifier is untied"
        )

    def rename(name: str) -> str | None:
        if name in entries:
            return f"copies.{network.mirrored.index(entries[name])}"
        name = encoder_entry(network.classifier, name)
        return name and f"classifier.{name}"

    return load_weights(network, {name: upright(name, value) for name, value in stored.items()}, rename=rename)


def encoder_entry(classifier: nn.Module, name: str) -> str | None:
    """Name in our classifier of an entry of the file; None below the decoder."""
    if name.startswith(DECODER):
        return None
    of_kind = vgg_classifier_from_torchvision if isinstance(classifier, VGGClassifier) else classifier_from_authors
    return of_kind(without_wrappers(name))


def decoder_entries(classifier: nn.Module, stored: Mapping[str, Tensor]) -> dict[str, str]:
    """Those entries of the file that are the decoder's weights, with the names of our layers."""
    layers = decoder_layers(classifier)
    entries = {f"{DECODER}decoder.{inverse}.inv_m.weight": layer for inverse, layer in layers.items()}
    found = {name: layer for name, layer in entries.items() if name in stored}
    closed_form = f"{DECODER}decoder.bottle_conv.m.weight"  # linear layer and mean of older ResNets: the encoder's own
    if closed_form in stored and layers["inv_linear_1"] not in found.values():
        found[closed_form] = layers["inv_linear_1"]
    return found


def decoder_layers(classifier: nn.Module) -> dict[str, str]:
    """Names of our convolutions and linear layers by those of their inverses in the authors' decoder.

    Blocks of a stage and layers of VGG are counted backwards: ``inv_layer4.0`` is the inverse of the last block, and
    ``deconv`` that of all ``features`` but the ReLUs. A projection comes after its batch norm, as number 1.

    Raises:
        ValueError: the backbone is none of the authors'.
    """
    backbone = getattr(classifier, "backbone", None)
    if isinstance(backbone, ResNet):
        layers = {"inv_linear_1": "head", "inv_conv1": "backbone.conv1"}
        for stage in range(1, backbone.num_stages + 1):
            blocks = backbone.get_submodule(f"layer{stage}")
            for name, layer in blocks.named_modules():
                if isinstance(layer, nn.Conv2d):
                    block, part = name.split(".", 1)
                    inverse = "inv_downsample.1" if part == "downsample.0" else f"inv_{part}"
                    layers[f"inv_layer{stage}.{len(blocks) - 1 - int(block)}.{inverse}"] = (
                        f"backbone.layer{stage}.{name}"
                    )
        return layers
    if isinstance(backbone, VGG16):
        layers = {f"inv_linear_{n}": f"head.classifier.{index}" for n, index in enumerate(VGG_LINEAR, 1)}
        inverted = [pair for pair in backbone.features.named_children() if not isinstance(pair[1], nn.ReLU)]
        for n, (index, layer) in enumerate(reversed(inverted)):
            if isinstance(layer, nn.Conv2d):
                layers[f"deconv.{n}"] = f"backbone.features.{index}"
        return layers
    raise ValueError(f"the authors' decoder inverts ResNet and VGG-16, not {type(backbone or classifier).__name__}")


def upright(name: str, value: Tensor) -> Tensor:
    """An entry of the file with the axes of our weights: the decoder has linear layers transposed, [C, K]."""
    transposed = name.startswith(f"{DECODER}decoder.inv_linear_") and name.endswith(".inv_m.weight")
    return value.t() if transposed else value


def check_tied(classifier: nn.Module, stored: Mapping[str, Tensor], entries: Mapping[str, str], where: str) -> None:
    """Refuse a decoder that differs from the encoder of the same file: a tied network would lose it in silence."""
    encoder, _ = rename_entries(stored, lambda name: encoder_entry(classifier, name), where)
    if not dict(classifier.named_parameters()).keys() <= encoder.keys() <= classifier.state_dict().keys():
        return  # of another network, whose decoder says nothing here
    differ = [
        layer
        for name, layer in entries.items()
        if not torch.equal(upright(name, stored[name]), encoder[f"{layer}.weight"])
    ]
    if differ:
        raise ValueError(
            f"the decoder of {where} is not tied: its weights differ from those of the encoder at "
            f"{shortened(differ, differ)}. Build the network with tie='untied', or load the file into its classifier, "
            "which leaves the decoder aside"
        )
