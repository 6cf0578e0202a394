"""Concepts, released tables, the supervised share."""

import pickle

import numpy as np
import pytest
import torch

from wsss_lib.data.word_labels import (
    answerable_words,
    coco_table_targets,
    multi_hot,
    read_coco_table,
    read_genome_table,
    read_word_list,
    supervised_concepts,
)


def test_supervised_share():
    paper = supervised_concepts(20, 0.7, np.random.RandomState(0))
    assert len(set(paper)) == 14 and paper == sorted(paper)
    official = supervised_concepts(1208, 0.5, np.random.RandomState(0), form="official")
    assert len(official) == 604 and 400 < len(set(official)) < 604, "drawn with replacement"
    assert supervised_concepts(5, 1.0, np.random.RandomState(3)) == [0, 1, 2, 3, 4]
    for share in (0.0, 1.1, 0.01):
        with pytest.raises(ValueError, match=r"choose \(0, 1\]"):
            supervised_concepts(10, share, np.random.RandomState(0))


def test_rows_without_a_concept_are_zero():
    assert multi_hot([("dog", "zebra"), ("zebra",), ()], ["cat", "dog"]).tolist() == [[0, 1], [0, 0], [0, 0]]


def test_released_tables(tmp_path):
    table = {"stoi": {"person": [899], "traffic light": [1596, 897]}, "itos": {899: "person", 1596: "t", 897: "t"}}
    torch.save(table, tmp_path / "coco.pth")
    stoi, itos = read_coco_table(tmp_path / "coco.pth")
    assert coco_table_targets([2, 1], stoi, itos).tolist() == [[0, 1, 1], [1, 0, 0]]
    with pytest.raises(ValueError, match=r"ids \[3\] are not"):
        coco_table_targets([3], stoi, itos)
    (tmp_path / "vg.pkl").write_bytes(pickle.dumps({"tree": 1, "sky": 0}, protocol=3))
    assert read_genome_table(tmp_path / "vg.pkl") == ["sky", "tree"]
    (tmp_path / "entities.txt").write_text("dog\n\nnews\ndog\n")
    assert read_word_list(tmp_path / "entities.txt") == ["dog", "news"]


def test_words_that_may_be_answered(tmp_path, monkeypatch):
    monkeypatch.setenv("WSSS_DATA", str(tmp_path))
    (tmp_path / "entities.txt").write_text("dog\nnews\n")
    assert answerable_words("") is None
    assert answerable_words("entities.txt") == {"dog", "news"}
    things = answerable_words("classes")
    assert {"person", "shark", "hydrant", "dog"} <= things and not {"the", "honest", "white"} & things
    with pytest.raises(FileNotFoundError, match=r"missing\.txt"):
        answerable_words("missing.txt")


def test_tables_that_hold_something_else_are_refused_and_run_no_code(tmp_path):
    (tmp_path / "bad.pkl").write_bytes(pickle.dumps(np.float64(3)))
    with pytest.raises(ValueError, match="no label table of Visual Genome"):
        read_genome_table(tmp_path / "bad.pkl")
    torch.save([1, 2], tmp_path / "bad.pth")
    with pytest.raises(ValueError, match="no label table of COCO"):
        read_coco_table(tmp_path / "bad.pth")
