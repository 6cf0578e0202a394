import os

import numpy as np
import pytest
from PIL import Image

from wsss_lib.data.reading import DamagedFile, check_decodes, files_by_stem, read_ids, read_image, read_mask
from wsss_lib.tests.data.trees import cut_short, stripes, write_image, write_list, write_mask


@pytest.mark.filterwarnings("ignore:Truncated File Read")
@pytest.mark.parametrize("suffix", ["jpg", "png", "bmp", "webp", "tif"])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.3, 0.7, 0.95])
def test_a_shortened_image_is_named(tmp_path, suffix, share):
    path = write_image(tmp_path / f"photo.{suffix}", 40, 50)
    assert read_image(path).size == (50, 40)
    check_decodes(path, "image")
    cut_short(path, share)
    for read in (read_image, lambda path: check_decodes(path, "image")):
        with pytest.raises(DamagedFile, match=rf"photo\.{suffix} is corrupt or truncated.*skip_corrupt"):
            read(path)


def test_a_missing_or_forbidden_file_is_not_called_damaged(tmp_path):
    with pytest.raises(FileNotFoundError, match="absent"):
        read_image(tmp_path / "absent.jpg")
    with pytest.raises(IsADirectoryError):
        read_image(tmp_path)


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "1", "I;16"])
def test_any_mode_becomes_rgb(tmp_path, mode):
    path = tmp_path / ("photo.tif" if mode in ("CMYK", "I;16") else "photo.png")
    Image.new(mode, (5, 4)).save(path)
    assert read_image(path).mode == "RGB"


def test_only_a_photograph_is_turned_upright(tmp_path):
    image = Image.new("RGB", (6, 4))
    exif = image.getexif()
    exif[0x0112] = 6  # turn by a quarter
    image.save(tmp_path / "photo.jpg", exif=exif)
    assert read_image(tmp_path / "photo.jpg", upright=True).size == (4, 6)
    assert read_image(tmp_path / "photo.jpg").size == (6, 4)


def test_mask_is_the_palette_index(tmp_path):
    labels = stripes([0, 3, 255])
    assert np.array_equal(read_mask(write_mask(tmp_path / "mask.png", labels)), labels)
    Image.fromarray(labels).save(tmp_path / "grey.png")
    assert np.array_equal(read_mask(tmp_path / "grey.png"), labels)
    Image.new("RGB", (5, 4)).save(tmp_path / "colored.png")
    with pytest.raises(ValueError, match=r"colored\.png has mode RGB"):
        read_mask(tmp_path / "colored.png")
    with pytest.raises(DamagedFile, match=r"mask .*mask\.png"):
        read_mask(cut_short(tmp_path / "mask.png"))


def test_files_by_stem_keeps_the_wanted_kinds(tmp_path):
    for name in ("a.jpg", "b.PNG", "c.v2.jpeg", "notes.txt"):
        (tmp_path / name).touch()
    assert {stem: os.path.basename(entry.path) for stem, entry in files_by_stem(tmp_path).items()} == {
        "a": "a.jpg",
        "b": "b.PNG",
        "c.v2": "c.v2.jpeg",
    }


def test_lists_of_ids_and_of_paths(tmp_path):
    plain = write_list(tmp_path / "plain.txt", ["2007_000032", "", "2007_000033  1"])
    pairs = ["/JPEGImages/2007_000032.jpg /SegmentationClassAug/2007_000032.png", "JPEGImages/2007_000033.jpg"]
    assert read_ids(plain) == read_ids(write_list(tmp_path / "paths.txt", pairs)) == ["2007_000032", "2007_000033"]


def test_empty_list_and_repeated_id(tmp_path):
    with pytest.raises(ValueError, match=r"empty\.txt is empty"):
        read_ids(write_list(tmp_path / "empty.txt", ["", " "]))
    with pytest.raises(ValueError, match=r"twice\.txt names b twice"):
        read_ids(write_list(tmp_path / "twice.txt", ["a", "b", "b"]))
