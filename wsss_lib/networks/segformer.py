"""SegFormer: hierarchical transformer without position codes, head of linear layers (Xie et al., NeurIPS 2021)."""

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wsss_lib.networks.base import Backbone, initialize, scaled
from wsss_lib.networks.checkpoints import load_weights, read_state_dict, rename_entries, without_wrappers
from wsss_lib.networks.deeplab import DeepLab

#: channels, blocks of the four stages
MIX_TRANSFORMERS = {
    "mit_b0": ((32, 64, 160, 256), (2, 2, 2, 2)),
    "mit_b1": ((64, 128, 320, 512), (2, 2, 2, 2)),
    "mit_b2": ((64, 128, 320, 512), (3, 4, 6, 3)),
}
HEADS = (1, 2, 5, 8)
REDUCTIONS = (8, 4, 2, 1)
MLP_RATIO = 4


class PatchEmbedding(nn.Module):
    """Overlapping patches by a strided convolution; tokens [B, N, C] and the size of their grid."""

    def __init__(self, in_channels: int, channels: int, kernel: int, stride: int):
        super().__init__()
        self.proj = nn.Conv2d(in_channels, channels, kernel, stride, padding=kernel // 2)
        self.norm = nn.LayerNorm(channels)

    def forward(self, features: Tensor) -> tuple[Tensor, tuple[int, int]]:
        features = self.proj(features)
        return self.norm(features.flatten(2).transpose(1, 2)), features.shape[-2:]


class ReducedAttention(nn.Module):
    """Self-attention whose keys and values come from a grid that is ``reduction`` times coarser (section 3.1)."""

    def __init__(self, channels: int, heads: int, reduction: int):
        super().__init__()
        self.heads = heads
        self.q = nn.Linear(channels, channels)
        self.kv = nn.Linear(channels, 2 * channels)
        self.proj = nn.Linear(channels, channels)
        self.sr = nn.Conv2d(channels, channels, reduction, reduction) if reduction > 1 else None
        self.norm = nn.LayerNorm(channels) if reduction > 1 else None

    def forward(self, tokens: Tensor, size: tuple[int, int]) -> Tensor:
        coarse = tokens
        if self.sr is not None:
            grid = tokens.transpose(1, 2).unflatten(2, size)
            height, width = grid.shape[-2:]
            block = self.sr.kernel_size[0]  # a map smaller than a block still has one key
            grid = F.pad(grid, (0, max(0, block - width), 0, max(0, block - height)), mode="replicate")
            coarse = self.norm(self.sr(grid).flatten(2).transpose(1, 2))
        queries = self.q(tokens).unflatten(2, (self.heads, -1)).transpose(1, 2)  # [B, heads, N, C / heads]
        keys, values = self.kv(coarse).unflatten(2, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(queries, keys, values)
        return self.proj(mixed.transpose(1, 2).flatten(2))


class MixMLP(nn.Module):
    """Two linear layers with a 3x3 convolution of each channel between them, which tells tokens where they are."""

    def __init__(self, channels: int, hidden: int):
        super().__init__()
        self.fc1 = nn.Linear(channels, hidden)
        self.dwconv = nn.ModuleDict({"dwconv": nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden)})
        self.fc2 = nn.Linear(hidden, channels)

    def forward(self, tokens: Tensor, size: tuple[int, int]) -> Tensor:
        grid = self.fc1(tokens).transpose(1, 2).unflatten(2, size)
        return self.fc2(F.gelu(self.dwconv["dwconv"](grid).flatten(2).transpose(1, 2)))


class MixBlock(nn.Module):
    """Attention and MLP, each normalized before and added after; both may be left out for an image (drop path)."""

    def __init__(self, channels: int, heads: int, reduction: int, drop_path: float):
        super().__init__()
        self.norm1 = nn.LayerNorm(channels, eps=1e-6)
        self.attn = ReducedAttention(channels, heads, reduction)
        self.norm2 = nn.LayerNorm(channels, eps=1e-6)
        self.mlp = MixMLP(channels, MLP_RATIO * channels)
        self.drop_path = drop_path

    def forward(self, tokens: Tensor, size: tuple[int, int]) -> Tensor:
        tokens = tokens + self._dropped(self.attn(self.norm1(tokens), size))
        return tokens + self._dropped(self.mlp(self.norm2(tokens), size))

    def _dropped(self, tokens: Tensor) -> Tensor:
        if not self.training or not self.drop_path:
            return tokens
        kept = torch.rand(len(tokens), 1, 1, device=tokens.device) >= self.drop_path
        return tokens * kept / (1 - self.drop_path)


class MixTransformer(Backbone):
    """The encoder (MiT); taps are the four stages, of strides 4, 8, 16 and 32 px. Any image size will do.

    Args:
        name: one of ``MIX_TRANSFORMERS``.
        width: factor on all numbers of channels.
        drop_path: probability of leaving out the last block for an image; it grows linearly from 0.
        weights: a file of the authors (``mit_b2.pth``; its classifier is left aside), or "" for random weights.
    """

    def __init__(self, name: str, *, width: float = 1.0, drop_path: float = 0.1, weights: str | Path | None = None):
        super().__init__()
        if name not in MIX_TRANSFORMERS:
            raise ValueError(f"no transformer {name!r}; choose one of {', '.join(MIX_TRANSFORMERS)}")
        channels, depths = MIX_TRANSFORMERS[name]
        self.tap_channels = [scaled(count, width, multiple=heads) for count, heads in zip(channels, HEADS, strict=True)]
        self.tap_strides = [4, 8, 16, 32]
        num_blocks = sum(depths)
        rates = iter([drop_path * place / (num_blocks - 1) for place in range(num_blocks)])
        in_channels = 3
        for stage, (count, heads, reduction) in enumerate(zip(self.tap_channels, HEADS, REDUCTIONS, strict=True), 1):
            kernel, stride = (7, 4) if stage == 1 else (3, 2)
            blocks = [MixBlock(count, heads, reduction, next(rates)) for _ in range(depths[stage - 1])]
            self.add_module(f"patch_embed{stage}", PatchEmbedding(in_channels, count, kernel, stride))
            self.add_module(f"block{stage}", nn.ModuleList(blocks))
            self.add_module(f"norm{stage}", nn.LayerNorm(count, eps=1e-6))
            in_channels = count
        initialize_transformer(self)
        if weights:
            stored, _ = rename_entries(read_state_dict(weights), without_wrappers, str(weights))
            load_weights(self, stored, allow_unexpected=["head.*"])

    def forward(self, images: Tensor) -> list[Tensor]:
        taps, features = [], images
        for stage in range(1, 5):
            tokens, size = self.get_submodule(f"patch_embed{stage}")(features)
            for block in self.get_submodule(f"block{stage}"):
                tokens = block(tokens, size)
            features = self.get_submodule(f"norm{stage}")(tokens).transpose(1, 2).unflatten(2, size)
            taps.append(features)
        return taps


def initialize_transformer(network: nn.Module) -> None:
    """Truncated normal linear layers, Kaiming-normal convolutions (by groups), zero biases."""
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.trunc_normal_(module.weight, std=0.02)
            nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Conv2d):
            fan_out = module.kernel_size[0] * module.kernel_size[1] * module.out_channels // module.groups
            nn.init.normal_(module.weight, std=(2 / fan_out) ** 0.5)
            nn.init.zeros_(module.bias)


class SegFormerHead(nn.Module):
    """A linear layer for each stage, resized to the first, joined by a 1x1 convolution, classified (section 3.2).

    Args:
        tap_channels: of the stages.
        num_labels: K + 1.
        channels: of the linear layers.
        fused: channels of the joined map.
        dropout: of its channels.
    """

    def __init__(
        self,
        tap_channels: Sequence[int],
        num_labels: int,
        *,
        channels: int = 768,
        fused: int = 256,
        dropout: float = 0.1,
    ):
        super().__init__()
        self.linear = nn.ModuleList(nn.Linear(count, channels) for count in tap_channels)
        conv = nn.Conv2d(channels * len(tap_channels), fused, 1, bias=False)
        self.fuse = nn.Sequential(conv, nn.BatchNorm2d(fused), nn.ReLU(inplace=True))
        initialize(self.fuse)
        self.dropout = nn.Dropout2d(dropout)
        self.classifier = nn.Conv2d(fused, num_labels, 1)

    def forward(self, taps: Sequence[Tensor]) -> Tensor:
        size = taps[0].shape[-2:]
        mapped = [linear(tap.movedim(1, -1)).movedim(-1, 1) for linear, tap in zip(self.linear, taps, strict=True)]
        resized = [F.interpolate(tap, size, mode="bilinear", align_corners=False) for tap in reversed(mapped)]
        return self.classifier(self.dropout(self.fuse(torch.cat(resized, 1))))


def build_segformer(backbone: Backbone, num_labels: int, *, channels: int = 768, fused: int = 256) -> DeepLab:
    """SegFormer: like DeepLab a backbone and a head on its taps; logits have the size of the first tap."""
    return DeepLab(backbone, SegFormerHead(backbone.tap_channels, num_labels, channels=channels, fused=fused))


def segformer_from_authors(name: str) -> str:
    """Name in ours of an entry of BECO's SegFormer.

    >>> segformer_from_authors("decoder.linear_c4.proj.weight"), segformer_from_authors("decoder.linear_fuse.1.bias")
    ('head.linear.3.weight', 'head.fuse.1.bias')
    """
    if name.startswith("backbone."):
        return name
    if name.startswith("decoder.linear_c"):
        stage, _, kind = name.removeprefix("decoder.linear_c").partition(".proj.")
        return f"head.linear.{int(stage) - 1}.{kind}"
    return f"head.{name.removeprefix('decoder.').replace('linear_fuse.', 'fuse.')}"
