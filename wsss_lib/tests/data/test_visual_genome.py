"""Visual Genome: names to words, rare words, boxes, bad entries."""

import numpy as np
import pytest
from PIL import Image

from wsss_lib.data.visual_genome import GenomeRegions, clean_objects, read_aliases, synset_word

BOX = {"x": 1, "y": 0, "h": 2, "w": 3}


def thing(*synsets, names=(), **box):
    return {"synsets": list(synsets), "names": list(names)} | BOX | box


ENTRIES = [
    {"image_id": 1, "objects": [thing("hot_dog.n.01", "tree.n.02"), thing("tree.n.01", x=2)]},
    {"image_id": 2, "objects": [thing("rare.n.01"), thing(names=["trees"])]},
]


def test_words_of_synsets():
    assert [synset_word(name) for name in ("dog.n.01", "traffic_light.n.01", "sky")] == ["dog", "traffic", "sky"]
    cleaned = clean_objects(ENTRIES, {"hot", "tree", "rare"}, min_count=1)
    assert [list(entry["objects"]) for entry in cleaned] == [["hot", "tree"], ["rare"]]
    assert len(cleaned[0]["objects"]["tree"]) == 2, "an object counts for each of its synsets"


def test_rare_and_unknown_words_are_dropped_and_empty_images_too():
    cleaned = clean_objects(ENTRIES, {"hot", "tree", "rare"}, min_count=2)
    assert cleaned == [{"image_id": 1, "objects": {"tree": [BOX, BOX | {"x": 2}]}}]
    assert clean_objects(ENTRIES, {"zebra"}, min_count=1) == []


def test_names_without_synsets_go_through_the_aliases(tmp_path):
    (tmp_path / "alias.txt").write_text("tree,trees, oak tree\n\ntv,television\n")
    aliases = read_aliases(tmp_path / "alias.txt")
    assert aliases == {"tree": "tree", "trees": "tree", "oak tree": "tree", "tv": "tv", "television": "tv"}
    cleaned = clean_objects(ENTRIES, {"tree"}, min_count=1, aliases=aliases)
    assert [entry["image_id"] for entry in cleaned] == [1, 2]


def test_regions_are_upright_and_cut_at_the_border(tmp_path):
    (tmp_path / "VG_100K").mkdir()
    Image.fromarray(np.zeros((4, 6, 3), np.uint8)).save(tmp_path / "VG_100K" / "7.jpg")
    cleaned = [{"image_id": 7, "objects": {"sky": [BOX, BOX | {"x": 4, "w": 50}], "tree": [BOX | {"x": -1, "y": 3}]}}]
    sample = GenomeRegions(cleaned, tmp_path).read(0)
    assert sample.masks.shape == (3, 4, 6) and sample.words == [("sky",), ("sky",), ("tree",)]
    assert np.argwhere(sample.masks[0]).tolist() == [[y, x] for y in (0, 1) for x in (1, 2, 3)]
    assert sample.masks.sum((1, 2)).tolist() == [6, 4, 2]
    merged = GenomeRegions(cleaned, tmp_path, merge=True)
    assert merged.words == [[("sky",), ("tree",)]] and merged.read(0).masks.sum((1, 2)).tolist() == [10, 2]
    assert merged.fingerprint() != GenomeRegions(cleaned, tmp_path).fingerprint()


def test_bad_input_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"lacks 'w'"):
        clean_objects([{"image_id": 1, "objects": [{"x": 1, "y": 1, "h": 1, "synsets": ["a.n.01"]}]}], {"a"})
    with pytest.raises(ValueError, match="no image with a known word"):
        GenomeRegions([{"image_id": 1, "objects": {"sky": [BOX]}}], tmp_path, known_words={"tree"})
    with pytest.raises(ValueError, match="no image with a known word"):
        GenomeRegions([], tmp_path)
    with pytest.raises(ValueError, match="official or paper"):
        GenomeRegions([], tmp_path, form="authors")
    with pytest.raises(FileNotFoundError, match="download visual_genome"):
        GenomeRegions([{"image_id": 1, "objects": {"sky": [BOX]}}], tmp_path).read(0)
