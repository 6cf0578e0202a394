"""Dials out of range are refused, and every dial counts in the name."""

from dataclasses import fields, replace

import pytest

from wsss_lib.data.scenes.dials import Benchmark


@pytest.mark.parametrize(
    ("dials", "words"),
    [
        ({"side": 31}, "side = 31 lies outside 32 to 1024"),
        ({"num_classes": 25}, "num_classes = 25 lies outside 2 to 24"),
        ({"num_classes": 1}, "num_classes = 1 lies outside"),
        ({"num_train": 20, "num_train_aug": 19}, "train_aug contains train"),
        ({"num_val": 0}, "num_val = 0 lies outside"),
        ({"part_to_body": 0.0}, "part_to_body = 0.0 lies outside 0.02 to 1.0"),
        ({"background_correlation": 1.1}, "background_correlation = 1.1 lies outside"),
        ({"sub_categories": 4}, "sub_categories = 4 lies outside 1 to 3"),
        ({"occlusion": -0.1}, "occlusion = -0.1 lies outside"),
        ({"noise": float("nan")}, "noise = nan lies outside"),
        ({"aspects": ()}, "at least one"),
        ({"aspects": (1.0, 3.0)}, "ratios in 0.4 to 2.5"),
        ({"class_names": ("a", "b")}, "2 class_names for 8 classes"),
        ({"num_classes": 2, "class_names": ("a", "a")}, "different single words"),
        ({"num_classes": 2, "class_names": ("a", "potted plant")}, "different single words"),
    ],
)
def test_out_of_range(dials, words):
    with pytest.raises(ValueError, match=words):
        Benchmark(**dials)


@pytest.mark.parametrize("dials", [{"side": 96.0}, {"num_val": "300"}, {"occlusion": "0.3"}, {"seed": True}])
def test_wrong_type(dials):
    with pytest.raises(TypeError, match="should be a"):
        Benchmark(**dials)


def test_every_dial_changes_the_name():
    others = {
        "class_names": tuple("abcdefgh"), "aspects": (1.0, 1.5), "even_test": True, "part_to_body": 0.5,
        "background_correlation": 0.5, "occlusion": 0.5, "noise": 1.0,
    }  # fmt: skip
    names = {Benchmark().name}
    for field in fields(Benchmark):
        value = others.get(field.name)
        names.add(
            replace(
                Benchmark(), **{field.name: field.default - 1 if value is None and field.default else value or 1}
            ).name
        )
    assert len(names) == len(fields(Benchmark)) + 1
    assert Benchmark().name == Benchmark().name


def test_lists_become_tuples():
    assert Benchmark(aspects=[1, 1.5]) == Benchmark(aspects=(1.0, 1.5))


def test_classes():
    assert Benchmark(num_classes=3).classes == ("duck", "hen", "cow")
    assert Benchmark(num_classes=2, class_names=("cat", "dog")).classes == ("cat", "dog")
