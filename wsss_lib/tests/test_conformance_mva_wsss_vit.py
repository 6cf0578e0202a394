"""Vision transformers of timm, as mva-wsss uses them, against the authors' own."""

import torch

from wsss_lib.data.transforms import normalized
from wsss_lib.networks.vit import TransformerClassifier, transformer_from_authors
from wsss_lib.tests.fill import filled_tensor
from wsss_lib.tests.golden_files import conforms
from wsss_lib.tests.networks.filled import fill_from_names


def filled_transformer(names, num_classes, **sizes):
    """With the filled values of all listed entries; files of features alone list no head."""
    network = TransformerClassifier(num_classes, **sizes)
    listed = {transformer_from_authors(name) for name, _ in names}
    head = [(name, value.shape) for name, value in network.head.state_dict(prefix="head.").items()]
    fill_from_names(network, [*names, *(entry for entry in head if entry[0] not in listed)], transformer_from_authors)
    return network


@conforms("mva_wsss/vit_small_features")
@torch.no_grad()
def test_vit_small_features(golden):
    sizes = golden.params
    network = filled_transformer(
        golden.meta["state_dict"],
        20,
        image_size=sizes["img_size"],
        patch_size=sizes["patch"],
        hidden_dim=sizes["dim"],
        num_layers=sizes["depth"],
        num_heads=sizes["heads"],
    )
    golden.check("out_features", network(golden.tensor("in_x")).features)


@conforms("mva_wsss/vit_base_features")
@torch.no_grad()
def test_vit_base_features(golden):
    num_classes = golden["out_logits"].shape[1]
    names = golden.meta["state_dict"]
    network = filled_transformer(names, num_classes, image_size=golden.params["img_size"])
    for name, parameter in network.head.named_parameters():
        parameter.copy_(filled_tensor(f"classifier.{name}", tuple(parameter.shape), parameter.dtype))
    image = normalized(golden.tensor("in_image").permute(2, 0, 1), network.normalization)
    output = network(image[None])
    golden.check("out_features", output.features)
    golden.check("out_logits", output.logits)
    ours = {name: [*value.shape] for name, value in network.state_dict().items()}
    assert ours == {transformer_from_authors(name): shape for name, shape in golden.meta["checkpoint_names"]}
