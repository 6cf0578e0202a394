"""Weight files: what can be read, what is refused and why, what is renamed, all or nothing."""

import argparse

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

from wsss_lib.networks.checkpoints import (
    load_weights,
    parse_mxnet,
    read_state_dict,
    resnet38_from_mxnet,
    state_dict_of,
    unfold_batch_norm,
)
from wsss_lib.tests.fill import fill_module
from wsss_lib.tests.intruder import Intruder
from wsss_lib.tests.networks.mxnet_writer import mxnet_bytes


def small_network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 1))


def state() -> dict[str, torch.Tensor]:
    return dict(fill_module(small_network()).state_dict())


def same(first, second) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def save_npz(values, path):
    np.savez(path, **{name: value.numpy() for name, value in values.items()})


WRITERS = {
    "weights.safetensors": safetensors.torch.save_file,
    "weights.npz": save_npz,
    "weights.pth": torch.save,
    "weights.pt": lambda values, path: torch.save(values, path, _use_new_zipfile_serialization=False),
    "weights.ckpt": lambda values, path: torch.save({"state_dict": values, "epoch": 3, "loops": {"a": [1]}}, path),
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_kind_of_file_is_read(tmp_path, name):
    WRITERS[name](state(), tmp_path / name)
    assert same(read_state_dict(tmp_path / name), state())


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("kept", [0, 10, 300, -20])
def test_a_truncated_file_is_named(tmp_path, name, kept):
    path = tmp_path / name
    WRITERS[name](state(), path)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ValueError, match=name):
        read_state_dict(path)


def test_a_missing_file_and_an_unknown_ending_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"absent\.pth"):
        read_state_dict(tmp_path / "absent.pth")
    (tmp_path / "weights.h5").write_bytes(b"")
    with pytest.raises(ValueError, match=r"\.h5.*\.safetensors"):
        read_state_dict(tmp_path / "weights.h5")


def test_code_in_a_file_is_not_executed(tmp_path):
    torch.save({"state_dict": state(), "hook": Intruder(tmp_path / "made")}, tmp_path / "evil.pth")
    with pytest.raises(ValueError, match="more than tensors"):
        read_state_dict(tmp_path / "evil.pth")
    assert not (tmp_path / "made").exists()
    np.savez(tmp_path / "evil.npz", weight=np.array([Intruder(tmp_path / "made")], dtype=object))
    with pytest.raises(ValueError, match=r"evil\.npz"):
        read_state_dict(tmp_path / "evil.npz")
    assert not (tmp_path / "made").exists()


def test_a_file_with_other_objects_names_the_remedy(tmp_path):
    torch.save({"state_dict": state(), "hyper_parameters": argparse.Namespace(lr=0.1)}, tmp_path / "last.ckpt")
    with pytest.raises(ValueError, match=r"torch\.save\(.*state_dict"):
        read_state_dict(tmp_path / "last.ckpt")


def test_an_entry_inside_a_file_can_be_named(tmp_path):
    torch.save({"net_state_dict": {"network1": state(), "network2": {}}}, tmp_path / "best.pth")
    assert same(read_state_dict(tmp_path / "best.pth", entry="net_state_dict.network1"), state())
    with pytest.raises(ValueError, match="network3"):
        read_state_dict(tmp_path / "best.pth", entry="net_state_dict.network3")
    with pytest.raises(ValueError, match="network1, network2"):
        read_state_dict(tmp_path / "best.pth")
    with pytest.raises(ValueError, match="a list"):
        state_dict_of([torch.zeros(2)])


ARRAYS = {
    "arg:conv1a_weight": np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2),
    "arg:half": np.array([[0.5, -1.5]], dtype=np.float16),
    "aux:counts": np.array([3, 2**40], dtype=np.int64),
    "arg:bytes": np.array([7], dtype=np.uint8),
}


@pytest.mark.parametrize("version", [0, 1, 2, 3])
def test_mxnet_arrays_of_all_versions(tmp_path, version):
    (tmp_path / "net.params").write_bytes(mxnet_bytes(ARRAYS, version))
    stored = read_state_dict(tmp_path / "net.params")
    assert list(stored) == list(ARRAYS)
    for name, array in ARRAYS.items():
        assert stored[name].numpy().dtype == array.dtype
        np.testing.assert_array_equal(stored[name].numpy(), array)


def test_mxnet_layout_by_hand():
    content = bytes.fromhex(
        "1201000000000000" "0000000000000000" "0100000000000000"  # magic, reserved, one array
        "02000000" "01000000" "02000000"  # two axes: 1 x 2
        "01000000" "00000000" "00000000"  # CPU, device 0, float32
        "0000803f" "000000c0"  # 1, -2
        "0100000000000000" "0100000000000000" "61"  # one name of one byte: a
    )  # fmt: skip
    assert parse_mxnet(content)["a"].tolist() == [[1.0, -2.0]]
    assert parse_mxnet(mxnet_bytes({"a": np.array([[1.0, -2.0]], dtype=np.float32)}))["a"].tolist() == [[1.0, -2.0]]


def test_mxnet_damage_is_found_at_every_length():
    content = mxnet_bytes(ARRAYS, version=2)
    for length in range(len(content)):
        with pytest.raises(ValueError, match=r"truncated|does not begin"):
            parse_mxnet(content[:length])


def test_mxnet_refuses_sparse_arrays_and_unknown_types():
    with pytest.raises(ValueError, match="sparse"):
        parse_mxnet(mxnet_bytes(ARRAYS, version=2, storage=1))
    content = bytearray(mxnet_bytes({"a": np.zeros(1, dtype=np.float32)}))
    content[24 + 4 + 4 + 8] = 99
    with pytest.raises(ValueError, match="unknown type 99"):
        parse_mxnet(bytes(content))
    content[24:28] = (1000).to_bytes(4, "little")
    with pytest.raises(ValueError, match="1000 axes"):
        parse_mxnet(bytes(content))


@pytest.mark.parametrize("name", ["res8x_branch2a_weight", "bn2a_branch2a_weights", "fc1_weight", "bn7_weights"])
def test_unknown_mxnet_names_are_refused(name):
    with pytest.raises(ValueError, match=name):
        resnet38_from_mxnet(name)


def test_weights_are_copied_and_leftovers_reported():
    network = small_network()
    given = {f"net.{name}": value for name, value in state().items()} | {"optimizer.step": torch.ones(1)}
    given.pop("net.1.num_batches_tracked")
    loaded = load_weights(
        network,
        given,
        rename=lambda name: name.removeprefix("net.") if name.startswith("net.") else None,
    )
    assert loaded.missing == [] and loaded.unused == ["optimizer.step"]
    assert same(network.state_dict(), state())


def test_problems_are_listed_and_nothing_is_changed():
    network = nn.Sequential(*(nn.Linear(2, 2) for _ in range(12)))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    given = {"0.weight": torch.zeros(3, 2), "0.bias": torch.zeros(2), "extra.weight": torch.zeros(1)}
    with pytest.raises(ValueError) as caught:
        load_weights(network, given)
    message = str(caught.value)
    assert "other shapes: 0.weight [3, 2] instead of [2, 2]" in message
    assert "missing: 1.weight, 1.bias, " in message and "... (22 in all)" in message
    assert "unexpected: extra.weight" in message
    assert same(network.state_dict(), before)


def test_what_may_differ_can_be_allowed():
    network = small_network()
    given = {name: value for name, value in state().items() if not name.startswith("3.")} | {"fc.bias": torch.ones(1)}
    with pytest.raises(ValueError, match=r"missing: 3\.weight, 3\.bias; unexpected: fc\.bias"):
        load_weights(network, given)
    with pytest.raises(ValueError, match=r"unexpected: fc\.bias"):
        load_weights(network, given, allow_missing=["3.*"])
    loaded = load_weights(network, given, allow_missing=["3.*"], allow_unexpected=["fc.*"])
    assert loaded == (["3.weight", "3.bias"], ["fc.bias"])


def test_two_entries_of_one_name_are_refused():
    with pytest.raises(ValueError, match=r"'0.weight'.*'b\.0\.weight'"):
        load_weights(
            nn.Sequential(nn.Linear(2, 2)),
            {"a.0.weight": torch.zeros(2, 2), "b.0.weight": torch.zeros(2, 2)},
            rename=lambda name: name[2:],
        )


def test_a_1x1_convolution_and_a_linear_layer_load_into_each_other():
    weight = torch.randn(4, 3)
    linear, conv = nn.Linear(3, 4, bias=False), nn.Conv2d(3, 4, 1, bias=False)
    load_weights(linear, {"weight": weight[:, :, None, None]})
    load_weights(conv, {"weight": weight.half()})
    assert torch.equal(linear.weight, weight)
    torch.testing.assert_close(conv.weight[:, :, 0, 0], weight, rtol=1e-3, atol=0)
    with pytest.raises(ValueError, match="other shapes"):
        load_weights(nn.Conv2d(3, 4, 3, bias=False), {"weight": weight[:, :, None, None]})


@torch.no_grad()
def test_folded_batch_norm_is_unfolded():
    whole = fill_module(small_network()).double().eval()
    conv, norm, _, last = whole
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    folded = {
        "0.weight": conv.weight * scale[:, None, None, None],
        "0.bias": norm.bias - norm.running_mean * scale,
        "3.weight": last.weight,
        "3.bias": last.bias,
    }
    network = small_network().double().eval()
    load_weights(network, folded)
    images = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    torch.testing.assert_close(network(images), whole(images))
    assert unfold_batch_norm(state(), network).keys() == state().keys()
