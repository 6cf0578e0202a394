"""Figures: bodies that several classes share, each with its class-specific part, and plants."""

from collections.abc import Callable

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from wsss_lib.data.scenes.looks import CLASSES, BodyLook, body_look, rgb
from wsss_lib.data.scenes.parts import DARK, GLASS, paint_part, tint
from wsss_lib.data.scenes.shapes import SAMPLES, Canvas, Pen, Stamp
from wsss_lib.data.scenes.textures import smooth_noise

PLANT_REACH = 1.35  # units from the centre of a plant to the edge of its canvas


def _reach(radius: float) -> float:
    """Units from the centre of an object to the edge of its canvas, for a part of this radius."""
    return max(1.75, np.hypot(1.0 + 2.15 * radius, 1.1), np.hypot(1.2 + 0.6 * radius, 0.7 + 2.1 * radius))


def _pattern(rng: Generator, canvas: Canvas, look: BodyLook) -> NDArray[np.floating]:
    """Share of the second body color at each sample of the canvas, in [0, 1]."""
    size = len(canvas.u)
    cells = size / (SAMPLES * canvas.unit)  # one per unit
    if look.pattern == "stripes":
        return (np.sin(9.5 * canvas.u + 6.3 * rng.random() + 0.7 * np.sin(3 * canvas.v)) > 0.15).astype(float)
    if look.pattern == "patches":
        return np.clip(6 * smooth_noise(rng, size, size, 2.2 * cells, 2.2 * cells) - 2.9, 0, 1)
    if look.pattern == "speckles":
        return np.clip(5 * smooth_noise(rng, size, size, 7 * cells, 7 * cells) - 2.7, 0, 1)
    return 0.8 * smooth_noise(rng, size, size, cells, cells)


def _beast(pen: Pen, rng: Generator, look: BodyLook, coat: NDArray[np.floating]) -> tuple[float, float]:
    fur = {"second": look.second, "pattern": coat}
    stride = 0.22 * (rng.random() - 0.5)
    for u, lift, tone in ((-0.45, stride, 0.66), (0.72, -stride, 0.66), (-0.78, -stride, 0.88), (0.42, stride, 0.88)):
        pen.capsule(tint(look.main, tone), u, 0.2, u + lift, 0.95, 0.15, name="leg", shade=0.25)
    pen.capsule(tint(look.second, 0.95), -0.95, -0.2, -1.42, 0.15 - 0.6 * rng.random(), 0.12, name="tail")
    pen.ellipse(look.main, 0, 0, 1.14, 0.62, power=2.6, shade=0.42, **fur)
    head = 1.12, -0.52 - 0.14 * rng.random()
    pen.capsule(look.main, 0.65, -0.08, head[0] - 0.05, head[1] + 0.05, 0.34, shade=0.25, **fur)
    return head


def _bird(pen: Pen, rng: Generator, look: BodyLook, coat: NDArray[np.floating]) -> tuple[float, float]:
    feathers = {"second": look.second, "pattern": coat}
    for u in (-0.12, 0.22):
        pen.capsule(rgb("d98a3a"), u, 0.4, u + 0.05, 0.98, 0.065, name="leg")
    lift = 0.35 * rng.random()
    pen.polygon(
        tint(look.second, 0.9), (-0.7, -0.15), (-0.7, 0.35), (-1.6, -0.1 - lift), (-1.5, -0.4 - lift), name="tail"
    )
    pen.ellipse(look.main, 0, 0.05, 1.08, 0.72, -0.12, shade=0.42, **feathers)
    head = 0.95, -0.85 - 0.2 * rng.random()
    pen.capsule(look.main, 0.62, -0.1, head[0] - 0.05, head[1], 0.3, shade=0.2, **feathers)
    pen.ellipse(tint(look.second, 0.85), -0.25, -0.05, 0.66, 0.36, 0.25, shade=0.4, name="wing")
    return head


def _vehicle(pen: Pen, rng: Generator, look: BodyLook, coat: NDArray[np.floating]) -> tuple[float, float]:
    pen.box(tint(look.main, 0.45), -0.05, 0.52, 1.3, 0.16)
    pen.box(look.main, -0.25, -0.12, 1.18, 0.68, shade=0.3, second=look.second, pattern=coat)
    pen.capsule(tint(look.second, 0.7), -1.25, 0.28, 0.75, 0.28, 0.06)
    for u in (-0.95, -0.45, 0.05):
        pen.box(tint(GLASS, 0.8), u, -0.38, 0.17, 0.19, name="window")
    for u in (-0.85, 0.85):
        pen.ellipse(DARK, u, 0.62, 0.3, 0.3, name="wheel")
        pen.ellipse(rgb("b8bcc2"), u, 0.62, 0.13, 0.13)
    return 1.05, -0.02 + 0.06 * rng.random()


def _vessel(pen: Pen, rng: Generator, look: BodyLook, coat: NDArray[np.floating]) -> tuple[float, float]:
    pen.box(tint(look.second, 0.9), -0.1, 0.0, 1.15, 0.2)
    pen.polygon(
        look.main, (-1.4, 0.05), (1.7, -0.12), (1.0, 0.82), (-1.1, 0.82), shade=0.35, second=look.second, pattern=coat
    )
    pen.capsule(tint(look.second, 0.6), -1.35, 0.16, 1.5, 0.06, 0.06)
    for u in (-0.8, -0.35, 0.1):
        pen.ellipse(tint(GLASS, 0.8), u, 0.42, 0.12, 0.12, name="window")
    return 0.45 - 0.5 * rng.random(), -0.55


BODIES: dict[str, Callable[[Pen, Generator, BodyLook, NDArray[np.floating]], tuple[float, float]]] = {
    "beast": _beast,
    "bird": _bird,
    "vehicle": _vehicle,
    "vessel": _vessel,
}
#: radius of a part as large as its body, in units; it makes ``part_to_body`` the ratio of areas
FULL_PART = {"beast": 0.82, "bird": 0.81, "vehicle": 0.86, "vessel": 0.76}


def paint_object(
    rng: Generator,
    class_index: int,
    sub_category: int,
    *,
    unit: float,
    angle: float,
    mirrored: bool,
    part_to_body: float,
) -> Stamp:
    """An object of a class: its body, which other classes have too, and its own part at the front.

    Args:
        unit: pixels of one unit; an object is about 3 units long and 2 high.
        angle: rotation in radians.
        mirrored: it looks to the left.
        part_to_body: area of the part over the area of the body.
    """
    look, body = CLASSES[class_index], body_look(class_index, sub_category)
    part = look.parts[sub_category]
    radius = FULL_PART[look.body] * part.size * np.sqrt(part_to_body)
    canvas = Canvas(unit, _reach(radius), angle, mirrored)
    center = BODIES[look.body](Pen(canvas), rng, body, _pattern(rng, canvas, body))
    paint_part(Pen(canvas, *center, radius, part=True), look.shape, part, head=look.body in ("beast", "bird"))
    canvas.color *= 0.92 + 0.16 * rng.random()
    return canvas.stamp()


def _leaves(pen: Pen, rng: Generator, count: int, top: float, green: str) -> None:
    for _ in range(count):
        u, v = 1.5 * rng.random() - 0.75, top + 0.8 * rng.random()
        radius = 0.28 + 0.2 * rng.random()
        pen.ellipse(tint(rgb(green), 0.8 + 0.4 * rng.random()), u, v, radius, 0.85 * radius, shade=0.4)


def _tree(pen: Pen, rng: Generator) -> None:
    pen.capsule(rgb("6b4a30"), 0, 0.0, 0.05, 1.1, 0.13)
    _leaves(pen, rng, 9, -0.95, "4a7d38")


def _bush(pen: Pen, rng: Generator) -> None:
    _leaves(pen, rng, 9, 0.1, "5b8a3f")


def _fir(pen: Pen, rng: Generator) -> None:
    pen.capsule(rgb("5a4130"), 0, 0.7, 0, 1.15, 0.12)
    for v in (0.85, 0.35, -0.15):
        pen.polygon(
            tint(rgb("2f5d46"), 0.9 + 0.3 * rng.random()),
            (-0.75 + 0.25 * (0.85 - v), v),
            (0.75 - 0.25 * (0.85 - v), v),
            (0, v - 0.95),
            shade=0.3,
        )


def _flower(pen: Pen, rng: Generator) -> None:
    petals = (rgb("f2e9f4"), rgb("c58fd0"), rgb("f0a8c0"))[int(3 * rng.random())]
    for u in (-0.6, 0.05, 0.65):
        top = -0.5 * rng.random()
        pen.capsule(rgb("4c7a35"), 0.4 * u, 1.1, u, top, 0.07)
        for turn in range(5):
            pen.ellipse(petals, u + 0.22 * np.cos(1.257 * turn), top + 0.22 * np.sin(1.257 * turn), 0.17, 0.17)
        pen.ellipse(rgb("f4d98a"), u, top, 0.13, 0.13)


def _reed(pen: Pen, rng: Generator) -> None:
    for u in np.linspace(-0.7, 0.7, 6):
        lean, top = 0.4 * (rng.random() - 0.5), -1.1 + 0.7 * rng.random()
        pen.capsule(tint(rgb("7d8f45"), 0.8 + 0.4 * rng.random()), u, 1.1, u + lean, top, 0.06)
        pen.ellipse(rgb("7a5a38"), u + lean, top, 0.1, 0.26)


def _mushroom(pen: Pen, rng: Generator) -> None:
    for u, scale in ((-0.4, 0.9), (0.45, 0.65)):
        pen.capsule(rgb("ece2cf"), u, 0.3, u, 1.0, 0.2 * scale)
        pen.ellipse(rgb("a5694a"), u, 0.2, 0.6 * scale, 0.42 * scale, shade=0.4)
        pen.ellipse(rgb("e6cfb4"), u - 0.2 * scale, 0.1, 0.13 * scale, 0.1 * scale)


def _cactus(pen: Pen, rng: Generator) -> None:
    green, arm = tint(rgb("5f8f5a"), 0.9 + 0.2 * rng.random()), -0.3 - 0.3 * rng.random()
    pen.capsule(green, 0, -0.9, 0, 1.1, 0.24, shade=0.3)
    for side in (-0.62, 0.6):
        pen.capsule(green, 0, 0.3, side, 0.2, 0.16)
        pen.capsule(green, side, 0.2, side, arm, 0.16)


PLANTS: dict[str, Callable[[Pen, Generator], None]] = {
    "tree": _tree,
    "bush": _bush,
    "fir": _fir,
    "flower": _flower,
    "reed": _reed,
    "mushroom": _mushroom,
    "cactus": _cactus,
}


def paint_plant(rng: Generator, noun: str, *, unit: float) -> Stamp:
    """A plant, about 1.5 units wide and 2 high."""
    canvas = Canvas(unit, PLANT_REACH, 0.2 * (rng.random() - 0.5), rng.random() < 0.5)
    PLANTS[noun](Pen(canvas), rng)
    canvas.pieces[canvas.covered] = 1
    canvas.names[:] = [noun]
    return canvas.stamp()
