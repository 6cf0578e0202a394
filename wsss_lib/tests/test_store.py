"""Files are whole or absent: the one write function under a full, a read-only and an interrupted disk."""

import errno
import os

import numpy as np
import pytest
import torch

from wsss_lib import store


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("code, words", [(errno.ENOSPC, "disk is full"), (errno.EROFS, "read-only")])
def test_a_failing_disk_leaves_the_old_file(tmp_path, code, words):
    path = store.write_text(tmp_path / "a.txt", "old")

    def fail(stream):
        stream.write(b"half")
        raise OSError(code, os.strerror(code))

    with pytest.raises(OSError, match=words) as error:
        store.write_file(path, fail)
    assert error.value.errno == code and str(path) in str(error.value)
    assert path.read_text() == "old" and names(tmp_path) == ["a.txt"]


def test_a_full_disk_at_the_rename(tmp_path, monkeypatch):
    def full(source, target):
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="disk is full"):
        store.write_json(tmp_path / "record.json", {})
    assert names(tmp_path) == []


def test_an_interrupt_leaves_nothing(tmp_path):
    def interrupted(stream):
        stream.write(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.write_file(tmp_path / "a.npz", interrupted)
    assert names(tmp_path) == []


def test_maps_of_the_classes_present_round_trip(tmp_path):
    maps, class_labels = torch.rand(4, 5, 7), torch.tensor([0.0, 1.0, 0.0, 1.0])
    store.save_maps(tmp_path / "maps/x.npz", maps, class_labels)
    read, read_labels = store.load_maps(tmp_path / "maps/x.npz")
    assert torch.equal(read_labels, class_labels) and not read[[0, 2]].any()
    torch.testing.assert_close(read[[1, 3]], maps[[1, 3]], rtol=1e-3, atol=1e-3)
    with pytest.raises(ValueError, match="4 maps with 1 class"):
        store.save_maps(tmp_path / "y.npz", maps, torch.ones(1))


def test_an_image_without_classes_has_a_map_file(tmp_path):
    store.save_maps(tmp_path / "x.npz", torch.rand(3, 4, 4), torch.zeros(3))
    maps, class_labels = store.load_maps(tmp_path / "x.npz")
    assert maps.shape == (3, 4, 4) and not maps.any() and not class_labels.any()


def test_a_damaged_map_file_is_named(tmp_path):
    path = store.save_maps(tmp_path / "x.npz", torch.rand(1, 40, 40), torch.ones(1))
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ValueError, match=r"x\.npz is damaged"):
        store.load_maps(path)


def test_label_map_round_trip_keeps_255_and_palette(tmp_path):
    label_map = torch.tensor([[0, 1], [20, 255]])
    palette = np.arange(768).reshape(256, 3) % 256
    path = store.save_label_map(tmp_path / "a.png", label_map, palette)
    assert torch.equal(store.load_label_map(path).long(), label_map)
    with store.Image.open(path) as image:
        assert image.mode == "P" and image.getpalette()[60:63] == [60, 61, 62]


def test_a_color_picture_is_no_label_map(tmp_path):
    store.Image.new("RGB", (2, 2)).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match="mode RGB"):
        store.load_label_map(tmp_path / "a.png")


def test_a_picture_keeps_its_colors(tmp_path):
    picture = np.array([[[1.0, 0.5, 0.0]]])
    with store.Image.open(store.save_picture(tmp_path / "overlays/a.png", picture)) as image:
        assert image.getpixel((0, 0)) == (255, 128, 0)


def test_weights_round_trip_and_missing(tmp_path):
    network = torch.nn.Conv2d(2, 3, 1).to(memory_format=torch.channels_last)
    path = store.save_weights(tmp_path / "10_cam/demo/weights.safetensors", network)
    read = store.load_weights(path)
    assert all(torch.equal(value, read[name]) for name, value in network.state_dict().items())
    with pytest.raises(FileNotFoundError, match="--only 10_cam"):
        store.load_weights(tmp_path / "10_cam/smoke/weights.safetensors")


def test_records_refuse_nan(tmp_path):
    with pytest.raises(ValueError):
        store.write_json(tmp_path / "record.json", {"score": float("nan")})
    assert names(tmp_path) == []
