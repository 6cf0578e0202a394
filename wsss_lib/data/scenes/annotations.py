"""What the annotation formats say about one scene: VOC XML and masks, COCO instances, Visual Genome regions."""

from functools import cache
from typing import Any
from xml.sax.saxutils import escape

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from wsss_lib.data.scenes.compose import Box, Region, Scene
from wsss_lib.data.scenes.textures import GROUNDS

IGNORE = 255


@cache
def voc_palette() -> bytes:
    """Colors of the 256 labels of VOC masks, as the devkit makes them: bits of the label spread over the channels.

    >>> tuple(voc_palette()[3:6]), tuple(voc_palette()[-3:])
    ((128, 0, 0), (224, 224, 192))
    """
    labels = np.arange(256)
    colors = np.zeros((256, 3), dtype=np.uint8)
    for bit in range(8):
        for channel in range(3):
            colors[:, channel] |= (((labels >> (3 * bit + channel)) & 1) << (7 - bit)).astype(np.uint8)
    return colors.tobytes()


def palette_image(labels: NDArray[np.uint8]) -> Image.Image:
    """Mask as a palette image, uint8 [H, W]."""
    image = Image.fromarray(labels)
    image.putpalette(voc_palette())
    return image


def border(instance_map: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Pixels within the border around objects, bool [H, W]: about as wide, for its side, as that of VOC.

    >>> border(np.array([[0, 0, 0, 1]], dtype=np.uint8)).tolist()
    [[False, False, True, True]]
    """
    on_border = np.zeros(instance_map.shape, dtype=bool)
    across = instance_map[:, 1:] != instance_map[:, :-1]
    down = instance_map[1:] != instance_map[:-1]
    on_border[:, 1:] |= across
    on_border[:, :-1] |= across
    on_border[1:] |= down
    on_border[:-1] |= down
    for _ in range(round(min(instance_map.shape) / 150) - 1):
        wider = on_border.copy()
        wider[:, 1:] |= on_border[:, :-1]
        wider[:, :-1] |= on_border[:, 1:]
        wider[1:] |= on_border[:-1]
        wider[:-1] |= on_border[1:]
        on_border = wider
    return on_border


def voc_masks(scene: Scene) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """SegmentationClass and SegmentationObject with their border of 255, uint8 [H, W]."""
    on_border = border(scene.instance_map)
    return (
        np.where(on_border, np.uint8(IGNORE), scene.class_map),
        np.where(on_border, np.uint8(IGNORE), scene.instance_map),
    )


def _xml_box(box: Box) -> str:
    """Corners as VOC counts them: from 1, both inclusive."""
    left, top, right, bottom = box
    return f"<bndbox><xmin>{left + 1}</xmin><ymin>{top + 1}</ymin><xmax>{right}</xmax><ymax>{bottom}</ymax></bndbox>"


def voc_xml(scene: Scene, image_id: str, classes: tuple[str, ...], part_names: tuple[str, ...], segmented: bool) -> str:
    """Annotation of one image.

    Args:
        part_names: name of the class-specific part of each class ("head", "cab").
        segmented: whether the image has masks in SegmentationClass.
    """
    height, width = scene.class_map.shape
    lines = [
        "<annotation>",
        f"\t<folder>VOC2012</folder><filename>{image_id}.jpg</filename>",
        "\t<source><database>embedded benchmark</database><annotation>drawn</annotation><image>drawn</image></source>",
        f"\t<size><width>{width}</width><height>{height}</height><depth>3</depth></size>",
        f"\t<segmented>{int(segmented)}</segmented>",
    ]
    for thing in scene.objects:
        lines += [
            f"\t<object><name>{escape(classes[thing.class_index])}</name><pose>{thing.facing}</pose>",
            f"\t\t<truncated>{int(thing.truncated)}</truncated><occluded>{int(thing.occluded)}</occluded>"
            f"<difficult>0</difficult><subcategory>{thing.sub_category}</subcategory>",
            f"\t\t{_xml_box(thing.box)}",
        ]
        if thing.part_box:
            lines.append(f"\t\t<part><name>{part_names[thing.class_index]}</name>{_xml_box(thing.part_box)}</part>")
        lines.append("\t</object>")
    return "\n".join([*lines, "</annotation>", ""])


def run_lengths(mask: NDArray[np.bool_]) -> list[int]:
    """Uncompressed run-length code of COCO: lengths of runs down the columns, the first one of zeros.

    >>> run_lengths(np.array([[True, False], [True, True]]))
    [0, 2, 1, 1]
    """
    flat = mask.ravel(order="F")
    ends = np.flatnonzero(np.diff(flat)) + 1
    lengths = np.diff([0, *ends.tolist(), flat.size]).tolist()
    return [0, *lengths] if flat[0] else lengths


def coco_instances(scene: Scene, image_number: int, first_id: int) -> list[dict[str, Any]]:
    """One entry per object; the mask is what is visible, as run lengths."""
    entries = []
    height, width = scene.class_map.shape
    for index, thing in enumerate(scene.objects):
        left, top, right, bottom = thing.box
        counts = run_lengths(scene.instance_map == index + 1)
        entries.append(
            {
                "id": first_id + index,
                "image_id": image_number,
                "category_id": thing.class_index + 1,
                "bbox": [left, top, right - left, bottom - top],
                "area": thing.area,
                "iscrowd": 0,
                "segmentation": {"size": [height, width], "counts": counts},
            }
        )
    return entries


def _genome_box(box: Box) -> dict[str, int]:
    left, top, right, bottom = box
    return {"x": left, "y": top, "w": right - left, "h": bottom - top}


def _genome_object(region: Region, object_id: int) -> dict[str, Any]:
    names = {"names": [region.noun], "synsets": [f"{region.noun}.n.01"]}
    return {"object_id": object_id, **_genome_box(region.box), **names, "merged_object_ids": []}


def genome_entries(scene: Scene, image_number: int, first_id: int) -> tuple[dict, dict, dict]:
    """Entries of objects.json, attributes.json and region_descriptions.json for one image."""
    things = [_genome_object(region, first_id + number) for number, region in enumerate(scene.regions)]
    attributes = [
        {key: thing[key] for key in thing if key != "merged_object_ids"} | {"attributes": list(region.attributes)}
        for thing, region in zip(things, scene.regions, strict=True)
    ]
    phrases = []
    for number, region in enumerate(scene.regions):
        left, top, right, bottom = region.box
        words = " ".join([*region.attributes, region.noun])
        place = f"a {words} on the {GROUNDS[scene.background]}" if region.attributes else f"the {words}"
        phrases.append(
            {"region_id": first_id + number, "image_id": image_number, "phrase": place}
            | {"x": left, "y": top, "width": right - left, "height": bottom - top}
        )
    return (
        {"image_id": image_number, "objects": things, "image_url": f"VG_100K/{image_number}.jpg"},
        {"image_id": image_number, "attributes": attributes},
        {"id": image_number, "regions": phrases},
    )
