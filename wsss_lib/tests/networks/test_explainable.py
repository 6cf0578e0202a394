import pytest
import torch

from wsss_lib.networks.explainable import KINDS, build_explainable, load_released

SMALL = {"width": 1 / 8, "output_stride": 8, "stages": 3}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_classifies(kind):
    network = build_explainable(kind, "resnet18", 5, **SMALL).eval()
    assert network(torch.rand(2, 3, 32, 32)).logits.shape == (2, 5)
    assert network.normalization.normalize(torch.rand(3, 4, 4)).shape == (3, 4, 4)


@pytest.mark.parametrize("kind", ["xdnn", "bcos"])
def test_released_files_load_by_name(kind, tmp_path):
    """As Model-Guidance stores them (under ``model``), and as the ImageNet files of their authors are named."""
    source = build_explainable(kind, "resnet18", 5, head_bias=False, **SMALL)
    names = {name: name.replace("backbone.", "").replace("head.", "fc.") for name in source.state_dict()}
    prefix = "0." if kind == "bcos" else "module."
    stored = {prefix + names[name]: value for name, value in source.state_dict().items()}
    path = tmp_path / "model_checkpoint_f1_best.pt"
    torch.save({"model": stored, "epochs": 3}, path)

    same = build_explainable(kind, "resnet18", 5, weights=path, **SMALL)
    ours, theirs = same.state_dict(), source.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)

    other = build_explainable(kind, "resnet18", 7, weights=path, **SMALL)
    backbone = [name for name in theirs if name.startswith("backbone.")]
    assert all(torch.equal(other.state_dict()[name], theirs[name]) for name in backbone)
    assert load_released(other, stored).missing


def test_refusals():
    with pytest.raises(ValueError, match="vanilla, xdnn, bcos"):
        build_explainable("deep", "resnet18", 2)
    with pytest.raises(ValueError, match="resnet101"):
        build_explainable("bcos", "vgg16", 2)
    with pytest.raises(ValueError, match="should be a file"):
        build_explainable("xdnn", "resnet18", 2, weights="IMAGENET1K_V1")
    with pytest.raises(ValueError, match="does not fit"):
        load_released(build_explainable("bcos", "resnet18", 2, **SMALL), {"0.conv1.linear.weight": torch.zeros(1)})
