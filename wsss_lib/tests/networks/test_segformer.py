"""SegFormer against its equations on small maps."""

import pytest
import torch

from wsss_lib.networks.segformer import MixBlock, MixTransformer, ReducedAttention, SegFormerHead, build_segformer
from wsss_lib.tests.fill import fill_module


@torch.no_grad()
@pytest.mark.parametrize("reduction", [1, 2])
def test_attention_by_loops(reduction):
    attention = fill_module(ReducedAttention(4, 2, reduction)).eval()
    tokens, size = torch.randn(1, 24, 4), (4, 6)
    coarse = tokens[0]
    if reduction == 2:
        grid = tokens[0].view(4, 6, 4)
        weight, bias = attention.sr.weight, attention.sr.bias
        blocks = [grid[y : y + 2, x : x + 2] for y in (0, 2) for x in (0, 2, 4)]
        coarse = attention.norm(torch.stack([torch.einsum("yxc,kcyx->k", block, weight) + bias for block in blocks]))
    queries, joined = attention.q(tokens[0]), attention.kv(coarse)
    expected = torch.zeros(24, 4)
    for head in (0, 1):
        own = slice(2 * head, 2 * head + 2)
        keys, values = joined[:, :4][:, own], joined[:, 4:][:, own]
        for token in range(24):
            weights = (keys @ queries[token, own] / 2**0.5).softmax(0)
            expected[token, own] = weights @ values
    assert torch.allclose(attention(tokens, size)[0], attention.proj(expected), atol=1e-5)


@torch.no_grad()
def test_taps_of_odd_and_tiny_images():
    network = MixTransformer("mit_b0", width=0.25).eval()
    for height, width in ((64, 64), (65, 97), (33, 20), (8, 8)):
        taps = network(torch.randn(2, 3, height, width))
        assert [tap.shape[1] for tap in taps] == network.tap_channels
        assert [tap.shape[2:] for tap in taps] == [(-(-height // s), -(-width // s)) for s in network.tap_strides]
        assert all(tap.isfinite().all() for tap in taps)


def test_drop_path_keeps_the_mean_and_is_off_in_evaluation():
    block = fill_module(MixBlock(4, 1, 1, drop_path=0.5))
    tokens = torch.randn(1, 6, 4).repeat(2000, 1, 1)
    torch.manual_seed(0)
    branch = block._dropped(tokens)
    kept = (branch != 0).flatten(1).all(1)
    assert 0.45 < kept.float().mean() < 0.55 and torch.equal(branch[kept], 2 * tokens[kept])
    assert torch.equal(block.eval()._dropped(tokens), tokens)


@torch.no_grad()
def test_head_joins_the_last_stage_first():
    head = fill_module(SegFormerHead((4, 6), 3, channels=5, fused=7)).eval()
    taps = [torch.randn(1, 4, 8, 6), torch.randn(1, 6, 8, 6)]
    mapped = [torch.einsum("bchw,kc->bkhw", tap, linear.weight) for tap, linear in zip(taps, head.linear, strict=True)]
    mapped = [tap + linear.bias[:, None, None] for tap, linear in zip(mapped, head.linear, strict=True)]
    expected = head.classifier(head.fuse(torch.cat(mapped[::-1], 1)))
    assert torch.allclose(head(taps), expected, atol=1e-5)


def test_training_reaches_every_parameter():
    network = build_segformer(MixTransformer("mit_b0", width=0.25, drop_path=0.0), 3, channels=8, fused=6)
    network(torch.randn(2, 3, 64, 64)).square().mean().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_weights_of_the_authors(tmp_path):
    network = fill_module(MixTransformer("mit_b0", width=0.25))
    torch.save(
        network.state_dict() | {"head.weight": torch.zeros(2), "head.bias": torch.zeros(2)}, tmp_path / "mit.pth"
    )
    loaded = MixTransformer("mit_b0", width=0.25, weights=tmp_path / "mit.pth")
    assert all(torch.equal(value, loaded.state_dict()[name]) for name, value in network.state_dict().items())
    with pytest.raises(ValueError, match="no transformer 'mit_b9'; choose one of mit_b0"):
        MixTransformer("mit_b9")
