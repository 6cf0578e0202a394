"""Boxes of VOC annotations: 1-based and inclusive there, corners in px here."""

import pytest

from wsss_lib.data.boxes import boxes_from_xml


def annotation(tmp_path, *objects: tuple[str, str]):
    found = "".join(f"<object><name>{name}</name>{box}</object>" for name, box in objects)
    (tmp_path / "a.xml").write_text(f"<annotation>{found}</annotation>")
    return tmp_path / "a.xml"


def box(left, top, right, bottom) -> str:
    sides = {"xmin": left, "ymin": top, "xmax": right, "ymax": bottom}
    return "<bndbox>" + "".join(f"<{name}>{value}</{name}>" for name, value in sides.items()) + "</bndbox>"


def test_one_pixel_is_one_pixel_wide(tmp_path):
    path = annotation(tmp_path, ("dog", box(1, 2, 1, 2)), ("cat", box(3, 4, 10, 20)), ("person", box(1, 1, 2, 2)))
    assert boxes_from_xml(path, ("cat", "dog")) == [(1, (0, 1, 1, 2)), (0, (2, 3, 10, 20))]


def test_boxes_of_parts_are_not_boxes_of_objects(tmp_path):
    path = annotation(tmp_path, ("person", box(1, 1, 9, 9) + f"<part><name>head</name>{box(2, 2, 3, 3)}</part>"))
    assert boxes_from_xml(path, ("person", "head")) == [(0, (0, 0, 9, 9))]


@pytest.mark.parametrize(
    "wrong, words", [(box(5, 1, 4, 2), "empty box"), (box("a", 1, 2, 2), "number"), ("", "number")]
)
def test_wrong_boxes_name_the_file(tmp_path, wrong, words):
    with pytest.raises(ValueError, match=rf"a\.xml.*{words}"):
        boxes_from_xml(annotation(tmp_path, ("dog", wrong)), ("dog",))


def test_a_missing_annotation_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.xml"):
        boxes_from_xml(tmp_path / "none.xml", ("dog",))
