import pytest
import safetensors.torch
import torch

from wsss_lib.networks.vit import TransformerClassifier, conv_stem_layers, load_transformer, transformer_from_authors

SIZES = {"image_size": 32, "patch_size": 8, "hidden_dim": 24, "num_layers": 2, "num_heads": 3}


def small(num_classes=5, **options):
    torch.manual_seed(0)
    return TransformerClassifier(num_classes, **SIZES | options)


@pytest.mark.parametrize("conv_stem", [False, True])
def test_logits_are_the_head_of_the_class_token(conv_stem):
    network = small(conv_stem=conv_stem).eval()
    images = torch.randn(2, 3, 32, 32)
    logits, features = network(images)
    assert logits.shape == (2, 5) and features.shape == (2, 24)
    torch.testing.assert_close(logits, features @ network.head.weight.T + network.head.bias)
    assert not torch.allclose(logits, network(images.flip(-1)).logits), "places matter"
    logits.sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


def test_the_class_token_equals_the_blocks_one_by_one():
    """Pre-norm blocks of one attention and one exact GELU, written out."""
    network = small(num_heads=1).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    own = {name.removeprefix("transformer."): value for name, value in network.state_dict().items()}
    images = torch.randn(1, 3, 32, 32)
    patches = [
        (own["conv_proj.weight"] * images[0, :, y : y + 8, x : x + 8]).sum((1, 2, 3)) + own["conv_proj.bias"]
        for y in range(0, 32, 8)
        for x in range(0, 32, 8)
    ]
    tokens = torch.stack([own["class_token"][0, 0], *patches]) + own["encoder.pos_embedding"][0]

    def norm(rows, name):
        centered = rows - rows.mean(1, keepdim=True)
        scale = (centered.square().mean(1, keepdim=True) + 1e-6).sqrt()
        return centered / scale * own[f"{name}.weight"] + own[f"{name}.bias"]

    for number in range(2):
        block = f"encoder.layers.encoder_layer_{number}"
        inner = norm(tokens, f"{block}.ln_1")
        weight, bias = (own[f"{block}.self_attention.in_proj_{kind}"] for kind in ("weight", "bias"))
        query, key, value = (inner @ weight.T + bias).chunk(3, 1)
        attended = (query @ key.T / 24**0.5).softmax(1) @ value
        weight, bias = (own[f"{block}.self_attention.out_proj.{kind}"] for kind in ("weight", "bias"))
        tokens = tokens + attended @ weight.T + bias
        hidden = norm(tokens, f"{block}.ln_2") @ own[f"{block}.mlp.0.weight"].T + own[f"{block}.mlp.0.bias"]
        hidden = hidden * 0.5 * (1 + torch.erf(hidden / 2**0.5))
        tokens = tokens + hidden @ own[f"{block}.mlp.3.weight"].T + own[f"{block}.mlp.3.bias"]
    torch.testing.assert_close(network(images).features[0], norm(tokens, "encoder.ln")[0], rtol=1e-4, atol=1e-5)


def test_the_default_is_vit_b_16():
    with torch.device("meta"):
        network = TransformerClassifier(20)
    assert sum(parameter.numel() for parameter in network.transformer.parameters()) == 85_798_656
    assert network.head.weight.shape == (20, 768)


def in_names_of_timm(network, head):
    """State dict of the network under timm's names, the inverse of what is tested."""
    parts = {"ln_1": "norm1", "ln_2": "norm2", "mlp.0": "mlp.fc1", "mlp.3": "mlp.fc2"}
    parts |= {"self_attention.in_proj_": "attn.qkv.", "self_attention.out_proj": "attn.proj"}
    parts |= {"encoder.layers.encoder_layer_": "blocks.", "encoder.ln": "norm", "conv_proj": "patch_embed.proj"}
    parts |= {"class_token": "cls_token", "encoder.pos_embedding": "pos_embed", "transformer.": "", "head.": head}
    state = {}
    for name, value in network.state_dict().items():
        for ours, theirs in parts.items():
            name = name.replace(ours, theirs)
        state[name] = value
    return state


@pytest.mark.parametrize("head, num_classes", [("classifier.", 5), ("head.", 1000)])
def test_weights_of_timm_and_of_the_authors_load(tmp_path, head, num_classes):
    source, network = small(num_classes), small()
    with torch.no_grad():
        for parameter in source.parameters():
            parameter.copy_(torch.randn_like(parameter))
    path = tmp_path / "weights.safetensors"
    safetensors.torch.save_file(in_names_of_timm(source, head), path)
    before = network.head.weight.clone()
    load_transformer(network, path)
    images = torch.randn(1, 3, 32, 32)
    torch.testing.assert_close(network.eval()(images).features, source.eval()(images).features)
    assert torch.equal(network.head.weight, source.head.weight if num_classes == 5 else before)


def test_stored_weights_of_torchvision_load_under_their_old_names():
    name = "encoder.layers.encoder_layer_7.mlp.linear_2.bias"
    assert transformer_from_authors(name) == "transformer.encoder.layers.encoder_layer_7.mlp.3.bias"
    assert transformer_from_authors("heads.head.weight") == "head.weight"
    own = small().state_dict()
    assert [transformer_from_authors(name) for name in own] == list(own)


def test_what_does_not_fit_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"image side 30 is not a multiple of the patch side 8; take 32"):
        small(image_size=30)
    with pytest.raises(ValueError, match="5 heads cannot share 24 channels"):
        small(num_heads=5)
    with pytest.raises(ValueError, match="a stem of convolutions needs a patch side of 2, 4, 8, 16"):
        conv_stem_layers(12, 24)
    with pytest.raises(ValueError, match=r"images of 32 x 40 px for a transformer of 32 px; resize them"):
        small()(torch.randn(1, 3, 32, 40))
    path = tmp_path / "weights.safetensors"
    safetensors.torch.save_file(small(hidden_dim=48).state_dict(), path)
    with pytest.raises(ValueError, match="other shapes"):
        load_transformer(small(), path)
    with pytest.raises(ValueError, match="no weights 'LARGE' for vit_b_16"):
        load_transformer(small(), "LARGE")


def test_frozen_layers_stay_frozen():
    network = small(dropout=0.5).freeze("transformer.encoder")
    network.train()
    assert not network.transformer.encoder.training and network.head.training
    assert not any(p.requires_grad for p in network.transformer.encoder.parameters())
