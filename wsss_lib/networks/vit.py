"""Vision transformer (Dosovitskiy et al., ICLR 2021) as a multi-label classifier: the teacher of sub-categories."""

import math
import re
from pathlib import Path
from typing import NamedTuple

from torch import Tensor, nn
from torchvision.models.vision_transformer import ConvStemConfig, VisionTransformer

from wsss_lib.networks.backbones import FILE_ENDINGS, fetch_torchvision
from wsss_lib.networks.base import IMAGENET, Freezable, Normalization
from wsss_lib.networks.checkpoints import load_weights, read_state_dict, rename_entries
from wsss_lib.networks.classifier import linear_head

WRAPPERS = ("module.", "model.", "backbone.", "transformer.")
OTHER_PARTS = {  # of timm; the last two of torchvision's stored weights
    "norm1": "ln_1",
    "norm2": "ln_2",
    "attn.qkv": "self_attention.in_proj_",
    "attn.proj": "self_attention.out_proj",
    "mlp.fc1": "mlp.0",
    "mlp.fc2": "mlp.3",
    "mlp.linear_1": "mlp.0",
    "mlp.linear_2": "mlp.3",
}
BLOCK_NAME = re.compile(r"(?:blocks\.|encoder\.layers\.encoder_layer_)(\d+)\.(.+)")


class TransformerOutput(NamedTuple):
    """What a transformer knows of a batch: ``logits`` [B, K], and its class tokens as ``features`` [B, D]."""

    logits: Tensor
    features: Tensor


class TransformerClassifier(Freezable):
    """Torchvision's ``VisionTransformer``; its class token after the last normalization; a linear head.

    Args:
        num_classes: foreground classes, K.
        image_size: side of the images, px; a transformer takes one size only.
        patch_size: side of a patch, px.
        hidden_dim: length of a token, D; the hidden layer of each block is four times as long.
        num_layers: blocks.
        num_heads: attention heads of each block.
        dropout: of each block.
        conv_stem: make the patches by 3 x 3 convolutions of stride 2 (and a last 1 x 1) instead of one convolution as
            large as the patch (Xiao et al., Early convolutions help transformers see better, NeurIPS 2021).
    """

    def __init__(
        self,
        num_classes: int,
        *,
        image_size: int = 224,
        patch_size: int = 16,
        hidden_dim: int = 768,
        num_layers: int = 12,
        num_heads: int = 12,
        dropout: float = 0.0,
        conv_stem: bool = False,
    ):
        super().__init__()
        if image_size % patch_size:
            nearest = image_size + -image_size % patch_size
            raise ValueError(
                f"image side {image_size} is not a multiple of the patch side {patch_size}; take {nearest}"
            )
        if hidden_dim % num_heads:
            raise ValueError(f"{num_heads} heads cannot share {hidden_dim} channels; take a divisor of {hidden_dim}")
        self.image_size = image_size
        self.normalization: Normalization = IMAGENET
        self.transformer = VisionTransformer(
            image_size,
            patch_size,
            num_layers,
            num_heads,
            hidden_dim,
            4 * hidden_dim,
            dropout=dropout,
            conv_stem_configs=conv_stem_layers(patch_size, hidden_dim) if conv_stem else None,
        )
        self.transformer.heads = nn.Identity()
        self.head = linear_head(hidden_dim, num_classes, bias=True)

    def forward(self, images: Tensor) -> TransformerOutput:
        sides = tuple(images.shape[-2:])
        if sides != (self.image_size, self.image_size):
            raise ValueError(
                f"images of {sides[0]} x {sides[1]} px for a transformer of {self.image_size} px; resize them "
                f"(data.transforms.Squash(normalization, {self.image_size}))"
            )
        features = self.transformer(images)
        return TransformerOutput(self.head(features), features)


def conv_stem_layers(patch_size: int, hidden_dim: int) -> list[ConvStemConfig]:
    """3 x 3 convolutions of stride 2 that double their channels until a pixel stands for a patch.

    >>> [(layer.out_channels, layer.stride) for layer in conv_stem_layers(8, 128)]
    [(32, 2), (64, 2), (128, 2)]
    """
    number = int(math.log2(patch_size))
    if 2**number != patch_size or number < 1:
        raise ValueError(f"a stem of convolutions needs a patch side of 2, 4, 8, 16, ... px, not {patch_size}")
    return [ConvStemConfig(hidden_dim >> number - place, 3, 2) for place in range(1, number + 1)]


def load_transformer(network: TransformerClassifier, weights: str | Path) -> TransformerClassifier:
    """Load pretrained weights into the transformer, in place; its head stays as it is where the file has another.

    Args:
        network: of the size of the weights.
        weights: a file of timm or torchvision (see :func:`wsss_lib.networks.checkpoints.read_state_dict`), or the name
            of a torchvision set of weights of ``vit_b_16``, such as ``IMAGENET1K_V1``, which is then downloaded.
    """
    if Path(weights).suffix in FILE_ENDINGS or Path(weights).exists():
        stored = read_state_dict(weights)
    else:
        stored, network.normalization = fetch_torchvision("vit_b_16", str(weights))
    renamed, _ = rename_entries(stored, transformer_from_authors, str(weights))
    own_head = tuple(renamed.get("head.weight", network.head.weight).shape) == tuple(network.head.weight.shape)
    if not own_head:
        renamed = {name: value for name, value in renamed.items() if not name.startswith("head.")}
    load_weights(network, renamed, allow_missing=["head.*"])
    return network


def transformer_from_authors(name: str) -> str:
    """Name in :class:`TransformerClassifier` of an entry of timm, torchvision or mva-wsss.

    >>> [transformer_from_authors(name) for name in ("cls_token", "classifier.weight")]
    ['transformer.class_token', 'head.weight']
    >>> transformer_from_authors("backbone.blocks.3.attn.qkv.bias")
    'transformer.encoder.layers.encoder_layer_3.self_attention.in_proj_bias'
    """
    while name.startswith(WRAPPERS):
        name = name.split(".", 1)[1]
    part, _, kind = name.rpartition(".")
    if part in ("head", "classifier", "heads.head"):
        return f"head.{kind}"
    if name in ("cls_token", "pos_embed"):
        name = {"cls_token": "class_token", "pos_embed": "encoder.pos_embedding"}[name]
    elif part in ("patch_embed.proj", "norm"):
        name = {"patch_embed.proj": "conv_proj", "norm": "encoder.ln"}[part] + f".{kind}"
    elif match := BLOCK_NAME.fullmatch(part):
        inner = OTHER_PARTS.get(match[2], match[2])
        name = f"encoder.layers.encoder_layer_{match[1]}.{inner}{'' if inner.endswith('_') else '.'}{kind}"
    return f"transformer.{name}"
