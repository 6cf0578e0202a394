"""Objects of every class: part and body, shared bodies, ratio of areas."""

import numpy as np
import pytest
from numpy.random import PCG64, Generator

from wsss_lib.data.scenes import parts
from wsss_lib.data.scenes.figures import PLANTS, paint_object, paint_plant
from wsss_lib.data.scenes.looks import BODIES, CLASSES, COVERS, SCENERY_NOUNS, body_look
from wsss_lib.data.scenes.looks import PLANTS as PLANTS_OF
from wsss_lib.data.scenes.shapes import Canvas, Pen
from wsss_lib.data.scenes.textures import FAMILIES


def draw(class_index, sub_category=0, *, part_to_body=0.32, seed=0, **options):
    options = {"unit": 16.0, "angle": 0.2, "mirrored": False} | options
    return paint_object(Generator(PCG64(seed)), class_index, sub_category, part_to_body=part_to_body, **options)


def body_without_part(stamp):
    return stamp.mask & ~stamp.part


@pytest.mark.parametrize("class_index", range(len(CLASSES)))
def test_every_class_is_a_small_part_on_a_larger_body(class_index):
    for sub_category in range(3):
        stamp = draw(class_index, sub_category)
        ratio = stamp.part.sum() / body_without_part(stamp).sum()
        assert 0.15 < ratio < 0.6, CLASSES[class_index].noun
        edge = np.concatenate([stamp.mask[0], stamp.mask[-1], stamp.mask[:, 0], stamp.mask[:, -1]])
        assert not edge.any(), "the figure leaves its canvas"


@pytest.mark.parametrize("angle", [0.0, 0.8])
@pytest.mark.parametrize("class_index", range(8))
def test_even_the_largest_part_stays_on_the_canvas(class_index, angle):
    stamp = draw(class_index, 1, part_to_body=1.0, angle=angle)
    edge = np.concatenate([stamp.mask[0], stamp.mask[-1], stamp.mask[:, 0], stamp.mask[:, -1]])
    assert not edge.any()


def test_part_to_body_is_the_ratio_of_areas():
    for wanted in (0.1, 0.3, 0.6):
        stamps = [draw(k, j, part_to_body=wanted) for k in range(8) for j in range(3)]
        ratios = [stamp.part.sum() / body_without_part(stamp).sum() for stamp in stamps]
        assert np.mean(ratios) == pytest.approx(wanted, rel=0.2)


def test_classes_share_bodies_and_differ_in_parts():
    duck, goose = 0, 6
    looks = {k: [body_look(k, j).adjective for j in range(3)] for k in (duck, goose)}
    j, i = next((j, i) for j in range(3) for i in range(3) if looks[duck][j] == looks[goose][i])
    first, second = draw(duck, j), draw(goose, i)
    both = body_without_part(first) & body_without_part(second)
    assert both.sum() > 0.8 * body_without_part(first).sum()
    assert np.abs(first.color - second.color)[both].mean() < 0.06
    assert np.abs(first.color - second.color)[first.part & second.part].mean() > 0.15


def test_sub_categories_have_other_bodies_and_parts():
    for class_index in range(len(CLASSES)):
        assert len({body_look(class_index, j).adjective for j in range(3)}) == 3
        assert len(set(CLASSES[class_index].parts)) == 3


def test_every_look_of_a_body_belongs_to_several_classes_of_the_demo():
    owners = {}
    for k in range(8):
        for j in range(3):
            owners.setdefault((CLASSES[k].body, body_look(k, j).adjective), set()).add(k)
    shared = [len(classes) > 1 for (body, _), classes in owners.items() if body != "vehicle"]
    assert all(shared)


def test_mirrored_object_is_the_reflection():
    plain, mirrored = draw(3, angle=0.0), draw(3, angle=0.0, mirrored=True)
    assert (plain.mask == mirrored.mask[:, ::-1]).mean() > 0.999


def test_pieces_have_nouns():
    known = {noun for nouns in SCENERY_NOUNS.values() for noun in nouns}
    for class_index in range(len(CLASSES)):
        stamp = draw(class_index)
        assert stamp.names and set(stamp.names) <= known
        assert set(np.unique(stamp.pieces)) - {0}


@pytest.mark.parametrize("noun", PLANTS)
def test_plants(noun):
    stamp = paint_plant(Generator(PCG64(1)), noun, unit=12)
    assert stamp.names == (noun,) and (stamp.pieces[stamp.mask] == 1).all() and stamp.mask.sum() > 40
    assert not stamp.part.any()


def test_tables_name_known_things():
    assert {noun for nouns in PLANTS_OF.values() for noun in nouns} == set(PLANTS) == set(SCENERY_NOUNS["plants"])
    assert set(PLANTS_OF) == set(COVERS) == set(FAMILIES) and {look.home for look in CLASSES} == set(FAMILIES)
    assert {look.body for look in CLASSES} == set(BODIES)
    nouns = [noun for look in CLASSES for noun in look.nouns]
    assert len(set(nouns)) == len(nouns) and all(look.noun == look.nouns[0] for look in CLASSES)


def test_unknown_feature():
    with pytest.raises(KeyError, match="unknown features \\['trunk'\\]"):
        parts.paint_part(Pen(Canvas(10, 1.0)), ("trunk", "horns"), CLASSES[2].parts[0], head=True)
