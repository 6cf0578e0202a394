"""Scenes: what is said about them agrees with their pixels, and the dials do what they say."""

from dataclasses import replace

import numpy as np
import pytest

from wsss_lib.data.scenes import compose, placement
from wsss_lib.data.scenes.compose import make_scene, make_scenes
from wsss_lib.data.scenes.dials import Benchmark
from wsss_lib.data.scenes.looks import CLASSES
from wsss_lib.data.scenes.sentences import nouns
from wsss_lib.data.scenes.textures import FAMILIES

SMALL = Benchmark(side=48, num_train=2, num_train_aug=6, num_val=3, num_test=3)


def scenes_of(benchmark, count, split="train_aug"):
    return [make_scene(benchmark, split, index) for index in range(count)]


def same(a, b):
    facts = a.objects == b.objects and a.regions == b.regions and a.background == b.background
    return facts and all((getattr(a, k) == getattr(b, k)).all() for k in ("image", "class_map", "instance_map"))


def test_annotations_agree_with_the_pixels():
    for scene in scenes_of(SMALL, 16):
        assert 1 <= len(scene.objects) <= 3 and scene.instance_map.max() == len(scene.objects)
        assert ((scene.class_map > 0) == (scene.instance_map > 0)).all()
        for number, thing in enumerate(scene.objects, start=1):
            mine = scene.instance_map == number
            rows, columns = np.nonzero(mine)
            assert thing.box == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
            assert (scene.class_map[mine] == thing.class_index + 1).all() and thing.area == mine.sum() > 20
            left, top, right, bottom = thing.part_box
            assert thing.box[0] <= left < right <= thing.box[2] and thing.box[1] <= top < bottom <= thing.box[3]
            assert 0 < thing.part_area < 0.6 * thing.area


def test_regions_have_known_nouns_and_lie_in_the_picture():
    known = {noun for group in nouns(SMALL).values() for noun in group}
    seen = set()
    for scene in scenes_of(SMALL, 40):
        height, width = scene.class_map.shape
        for region in scene.regions:
            left, top, right, bottom = region.box
            assert 0 <= left < right <= width and 0 <= top < bottom <= height
            assert region.of_object is None or region.of_object < len(scene.objects)
        seen |= {region.noun for region in scene.regions}
    assert seen <= known and len(seen) >= 36


def test_a_scene_does_not_depend_on_the_others():
    alone = make_scene(SMALL, "val", 2)
    larger = replace(SMALL, num_train_aug=50, num_val=9)
    assert same(alone, make_scene(larger, "val", 2))
    assert same(alone, list(make_scenes(SMALL))[6 + 2])
    assert not same(alone, make_scene(SMALL, "test", 2))
    assert not same(alone, make_scene(replace(SMALL, seed=1), "val", 2))


def test_two_processes_draw_what_one_draws(monkeypatch):
    serial = list(make_scenes(SMALL))
    monkeypatch.setattr(compose, "WORTH_A_PROCESS", 0)
    monkeypatch.setattr(compose.os, "sched_getaffinity", lambda process: {0, 1})
    assert len(serial) == 12 and all(map(same, serial, make_scenes(SMALL)))


def test_more_than_half_of_every_object_stays_in_sight(monkeypatch):
    covered = replace(SMALL, occlusion=1.0)
    lay, shown = compose._Picture.lay, []
    monkeypatch.setattr(compose._Picture, "lay", lambda *args: shown.append(args[1:]) or lay(*args))
    for index in range(24):
        shown.clear()
        scene = make_scene(covered, "train_aug", index)
        stamps = [item.stamp for item, owner in shown if owner]
        for thing, stamp in zip(scene.objects, stamps, strict=True):
            left = (1 - 0.35) ** len(stamps) * placement.LEAST_VISIBLE
            assert thing.area >= left * stamp.mask.sum() and thing.part_area > 0


def test_painted_order_is_by_height_in_the_picture(monkeypatch):
    rows = []
    lay = compose._Picture.lay
    monkeypatch.setattr(compose._Picture, "lay", lambda *args: rows.append(args[1:]) or lay(*args))
    make_scene(replace(SMALL, occlusion=0.0), "train_aug", 1)
    ordered = [item.row for item, owner in rows if owner]
    assert ordered == sorted(ordered) and len(ordered) > 1


def test_an_object_too_many_is_left_out():
    rng = np.random.Generator(np.random.PCG64(0))
    items = [compose._draw_object(rng, SMALL, k, unit=14.0) for k in (0, 1, 2)]
    placed = placement.place(rng, items, 48, 48, 0, overlap=False)
    assert 1 <= len(placed) < 3 and items[0] in placed


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_background_correlation(share):
    benchmark = replace(SMALL, side=32, background_correlation=share, occlusion=0.0)
    scenes = scenes_of(benchmark, 56)
    at_home = [scene.background == CLASSES[index % 8].home for index, scene in enumerate(scenes)]
    assert np.mean(at_home) == pytest.approx(share, abs=0.2 if share == 0.5 else 0)


def test_even_test_leaves_the_other_splits_alone():
    even = replace(SMALL, side=32, background_correlation=1.0, even_test=True)
    backgrounds = [scene.background for scene in scenes_of(even, 70, "test")]
    assert all(4 <= backgrounds.count(family) <= 17 for family in FAMILIES)
    for index, scene in enumerate(scenes_of(even, 8, "val")):
        assert scene.background == CLASSES[index % 8].home


def test_every_class_starts_every_eighth_image():
    for index, scene in enumerate(scenes_of(SMALL, 16)):
        assert index % 8 in {thing.class_index for thing in scene.objects}


def test_sub_categories_and_occlusion_at_their_ends():
    plain = replace(SMALL, sub_categories=1, occlusion=0.0)
    things = [thing for scene in scenes_of(plain, 16) for thing in scene.objects]
    assert {thing.sub_category for thing in things} == {0}
    rich = replace(SMALL, sub_categories=3, occlusion=1.0)
    covered = [thing for scene in scenes_of(rich, 16) for thing in scene.objects]
    assert {thing.sub_category for thing in covered} == {0, 1, 2}
    assert np.mean([thing.occluded for thing in covered]) > 0.5 > 0.15 > np.mean([thing.occluded for thing in things])


def test_noise_is_the_standard_deviation_in_gray_levels():
    clean, noisy = (make_scene(replace(SMALL, noise=value), "val", 0).image.astype(float) for value in (0.0, 6.0))
    inner = (clean > 30) & (clean < 225)
    assert (noisy - clean)[inner].std() == pytest.approx(6.0, rel=0.1)


def test_part_to_body_changes_the_parts_only():
    small, large = (replace(SMALL, part_to_body=ratio, occlusion=0.0) for ratio in (0.1, 0.5))
    for index in range(8):
        a, b = make_scene(small, "val", index), make_scene(large, "val", index)
        assert a.background == b.background
        ratio = [np.mean([t.part_area / (t.area - t.part_area) for t in scene.objects]) for scene in (a, b)]
        assert ratio[0] < ratio[1]


def test_sizes_follow_side_and_aspects():
    scenes = scenes_of(replace(SMALL, side=60, aspects=(1.5, 0.75)), 20)
    assert {scene.image.shape for scene in scenes} == {(40, 60, 3), (60, 45, 3)}
    assert all(scene.image.shape[:2] == scene.class_map.shape == scene.instance_map.shape for scene in scenes)


def test_smallest_pictures_with_the_smallest_parts():
    least = Benchmark(side=32, part_to_body=0.02, num_classes=24, occlusion=1.0, noise=64.0)
    for index in range(24):
        scene = make_scene(least, "train_aug", index)
        assert all(thing.area > 0 for thing in scene.objects)
