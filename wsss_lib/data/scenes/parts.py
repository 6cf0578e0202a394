"""The small class-specific parts: heads, cabs and rigs, put together from named features.

Every feature is drawn in the part's own coordinates: its centre is the origin, its radius 1, u forward, v down.
"""

from collections.abc import Callable

from wsss_lib.data.scenes.looks import Color, PartLook, rgb
from wsss_lib.data.scenes.shapes import Pen

DARK = rgb("1b1a1e")
GLASS = rgb("a9d0e4")
Feature = Callable[[Pen, PartLook], None]


def tint(color: Color, factor: float) -> Color:
    """The color made darker (factor < 1) or lighter."""
    return tuple(min(1.0, channel * factor) for channel in color)


def _eye(pen: Pen, u: float, v: float, radius: float = 0.18) -> None:
    pen.ellipse(DARK, u, v, radius, radius)
    pen.ellipse((1, 1, 1), u + 0.3 * radius, v - 0.35 * radius, 0.4 * radius, 0.4 * radius)


def _horns(pen: Pen, look: PartLook) -> None:
    for side in (-0.3, 0.25):
        pen.capsule(look.detail, side, -0.7, 1.9 * side, -0.95 - 0.55 * look.crest, 0.17, name="horn")


def _antlers(pen: Pen, look: PartLook) -> None:
    for side in (-0.45, 0.3):
        pen.capsule(look.detail, side, -0.7, 2.0 * side, -0.9 - 0.9 * look.crest, 0.13, name="horn")
        pen.capsule(look.detail, 1.4 * side, -0.8 - 0.4 * look.crest, side + 0.5, -1.0 - 0.8 * look.crest, 0.11)


def _mane(pen: Pen, look: PartLook) -> None:
    pen.capsule(look.detail, -0.45, -0.85, -1.1, 0.95, 0.42)


def _pointed_ears(pen: Pen, look: PartLook) -> None:
    for u in (-0.85, 0.1):
        tip = -0.9 - 0.75 * look.crest
        pen.polygon(look.main, (u, -0.5), (u + 0.75, -0.6), (u + 0.25, tip), name="ear")
        pen.polygon(look.detail, (u + 0.2, tip + 0.45), (u + 0.46, tip + 0.45), (u + 0.25, tip))


def _upright_ears(pen: Pen, look: PartLook) -> None:
    for u in (-0.55, 0.15):
        pen.ellipse(tint(look.main, 0.85), u, -1.05, 0.2, 0.45, 0.15, name="ear")


def _round_ears(pen: Pen, look: PartLook) -> None:
    for u in (-0.75, 0.55):
        pen.ellipse(look.detail, u, -0.8, 0.36, 0.36, name="ear")


def _wool(pen: Pen, look: PartLook) -> None:
    for u in (-0.5, 0.0, 0.5):
        pen.ellipse(look.accent, u, -0.72, 0.4, 0.34)


def _blaze(pen: Pen, look: PartLook) -> None:
    pen.capsule(look.accent, 0.3, -0.75, 0.75, 0.1, 0.2)


def _pointed_snout(pen: Pen, look: PartLook) -> None:
    pen.polygon(look.accent, (0.15, 0.05), (0.3, 0.85), (1.55, 0.5))
    pen.ellipse(DARK, 1.45, 0.47, 0.17, 0.17)


def _muzzle(pen: Pen, look: PartLook) -> None:
    pen.ellipse(look.accent, 0.72, 0.45, 0.62, 0.46, 0.35, shade=0.15)
    pen.ellipse(tint(look.main, 0.5), 1.05, 0.4, 0.1, 0.1)


def _disc_snout(pen: Pen, look: PartLook) -> None:
    pen.ellipse(look.accent, 0.85, 0.25, 0.34, 0.42)
    for v in (0.12, 0.4):
        pen.ellipse(tint(look.accent, 0.5), 0.9, v, 0.08, 0.1)


def _floppy_ears(pen: Pen, look: PartLook) -> None:
    pen.ellipse(tint(look.main, 0.75), -0.85, -0.35, 0.52, 0.24, 0.5, name="ear")


def _long_ears(pen: Pen, look: PartLook) -> None:
    pen.ellipse(look.detail, -0.5, 0.2, 0.32, 0.8 * look.crest, -0.15, name="ear")


def _beard(pen: Pen, look: PartLook) -> None:
    pen.polygon(look.detail, (0.2, 0.75), (0.8, 0.65), (0.5, 1.5))


def _whiskers(pen: Pen, look: PartLook) -> None:
    pen.ellipse(look.accent, 0.6, 0.35, 0.4, 0.3)


def _comb(pen: Pen, look: PartLook) -> None:
    for u, height in ((-0.5, 0.3), (0.0, 0.42), (0.5, 0.3)):
        pen.ellipse(look.accent, u, -0.95, 0.3, height * look.crest + 0.1, name="comb")


def _wattle(pen: Pen, look: PartLook) -> None:
    pen.ellipse(look.accent, 0.6, 0.95, 0.24, 0.42)


def _knob(pen: Pen, look: PartLook) -> None:
    pen.ellipse(look.accent, 0.85, -0.2, 0.3, 0.3)


def _short_bill(pen: Pen, look: PartLook) -> None:
    pen.polygon(look.detail, (0.75, -0.25), (0.75, 0.45), (1.65, 0.15), name="beak")


def _flat_bill(pen: Pen, look: PartLook) -> None:
    pen.ellipse(look.detail, 1.25, 0.32, 0.8, 0.33, 0.12, power=2.6, name="beak")


def _long_bill(pen: Pen, look: PartLook) -> None:
    pen.polygon(look.detail, (0.6, -0.45), (0.55, 0.75), (2.1, 0.4), name="beak")


def _hook_bill(pen: Pen, look: PartLook) -> None:
    pen.polygon(look.detail, (0.6, -0.35), (0.75, 0.35), (1.55, 0.1), (1.4, -0.25), name="beak")
    pen.polygon(look.detail, (1.1, 0.0), (1.55, 0.05), (1.4, 0.6))


def _collar(pen: Pen, look: PartLook) -> None:
    pen.capsule(look.accent, -0.75, 0.8, 0.35, 1.02, 0.2)


def _cheek(pen: Pen, look: PartLook) -> None:
    pen.ellipse(look.accent, -0.15, 0.35, 0.55, 0.45)


def _exhaust(pen: Pen, look: PartLook) -> None:
    pen.capsule(look.detail, -0.6, -0.8, -0.6, -1.1 - 0.6 * look.crest, 0.16)


def _roof_box(pen: Pen, look: PartLook) -> None:
    pen.box(look.detail, -0.1, -1.15 * look.crest, 0.55, 0.22)


def _lamp(pen: Pen, look: PartLook) -> None:
    pen.ellipse(look.detail, 0.82, 0.5, 0.16, 0.18)


def _box_cab(pen: Pen, look: PartLook) -> None:
    pen.box(look.main, 0, 0, 1.0, 1.05, shade=0.3)
    pen.box(look.accent, 0.2, -0.32, 0.68, 0.46, name="window")
    pen.box(GLASS, 0.24, -0.36, 0.54, 0.34)


def _slant_cab(pen: Pen, look: PartLook) -> None:
    pen.polygon(look.main, (-0.95, -1.0), (0.25, -1.0), (0.75, -0.05), (-0.95, 0.1), shade=0.2)
    pen.box(look.main, 0.05, 0.42, 1.08, 0.62, shade=0.2)
    pen.polygon(look.accent, (-0.35, -0.78), (0.15, -0.78), (0.52, -0.05), (-0.35, -0.05), name="window")
    pen.box(look.detail, 0.95, 0.72, 0.2, 0.2)


def _cabin(pen: Pen, look: PartLook) -> None:
    pen.box(look.main, 0, 0.15, 1.05, 0.9, shade=0.25)
    pen.box(look.accent, 0, -0.72, 1.25, 0.2)
    for u in (-0.5, 0.4):
        pen.ellipse(GLASS, u, 0.1, 0.3, 0.3, name="window")


def _funnel(pen: Pen, look: PartLook) -> None:
    pen.box(look.detail, -0.2, -1.1, 0.36, 0.5 * look.crest + 0.2)


def _sail(pen: Pen, look: PartLook) -> None:
    pen.capsule(look.detail, -0.1, -1.5, -0.1, 1.0, 0.09)
    pen.polygon(look.main, (0.0, -1.5), (0.0, 0.75), (1.35, 0.75), shade=0.2)
    pen.polygon(look.accent, (-0.2, -1.2), (-0.2, 0.75), (-1.0, 0.75))


#: features drawn behind the head or cab, and in front of it
BEHIND: dict[str, Feature] = {
    "horns": _horns,
    "antlers": _antlers,
    "mane": _mane,
    "pointed-ears": _pointed_ears,
    "upright-ears": _upright_ears,
    "round-ears": _round_ears,
    "comb": _comb,
    "wattle": _wattle,
    "flat-bill": _flat_bill,
    "long-bill": _long_bill,
    "short-bill": _short_bill,
    "hook-bill": _hook_bill,
    "collar": _collar,
    "beard": _beard,
    "exhaust": _exhaust,
    "roof-box": _roof_box,
    "funnel": _funnel,
}
BEFORE: dict[str, Feature] = {
    "wool": _wool,
    "blaze": _blaze,
    "knob": _knob,
    "cheek": _cheek,
    "pointed-snout": _pointed_snout,
    "muzzle": _muzzle,
    "disc-snout": _disc_snout,
    "whiskers": _whiskers,
    "floppy-ears": _floppy_ears,
    "long-ears": _long_ears,
    "box-cab": _box_cab,
    "slant-cab": _slant_cab,
    "cabin": _cabin,
    "sail": _sail,
    "lamp": _lamp,
}


def paint_part(pen: Pen, shape: tuple[str, ...], look: PartLook, *, head: bool) -> None:
    """Paint a part from its features; a ``head`` is round and has an eye, else the features bring their own form.

    Raises:
        KeyError: a feature that neither ``BEHIND`` nor ``BEFORE`` knows.
    """
    unknown = [feature for feature in shape if feature not in BEHIND and feature not in BEFORE]
    if unknown:
        raise KeyError(f"unknown features {unknown} of a part; known: {sorted(BEHIND) + sorted(BEFORE)}")
    for feature in shape:
        if feature in BEHIND:
            BEHIND[feature](pen, look)
    if head:
        pen.ellipse(look.main, 0, 0, 1.0, 0.96, shade=0.3)
    for feature in shape:
        if feature in BEFORE:
            BEFORE[feature](pen, look)
    if head:
        _eye(pen, 0.3, -0.22)
