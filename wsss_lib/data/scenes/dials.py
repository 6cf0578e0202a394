"""The dials of the embedded benchmark."""

import hashlib
import json
from dataclasses import asdict, dataclass, fields

from wsss_lib.data.scenes.looks import CLASSES

VERSION = 1  # of the pictures; a new one needs a written reason and runs every committed result again


@dataclass(frozen=True)
class Benchmark:
    """Everything that decides how the images look; equal dials give equal pixels, masks and annotations.

    The defaults are the demo benchmark. Shares and probabilities lie in [0, 1].

    Attributes:
        seed: start of all random draws.
        side: longer side of an image in px, 32 to 1024.
        num_train: images of ``train`` (with masks), the first ones of ``train_aug``.
        num_train_aug: images of ``train_aug`` (image labels; masks as of SBD beside those of VOC).
        num_val: images of ``val``.
        num_test: images of ``test``.
        num_classes: how many classes of the list of looks take part, 2 to 24.
        class_names: other names for them, for stand-ins of real data sets; empty for their own.
        part_to_body: area of the class-specific part over the area of the body, 0.02 to 1.
        background_correlation: share of images whose background is the home of their first class; the others
            take one of the other families, all alike. 1/7 makes class and background independent.
        even_test: backgrounds of ``test`` are independent of the classes (for the spurious-background study).
        sub_categories: looks of each class, 1 to 3.
        occlusion: probability that an object has a plant before it, and that objects may overlap.
        noise: standard deviation of the pixel noise in gray levels of 255, 0 to 64.
        aspects: width over height of the images, 0.4 to 2.5; each image takes one.
    """

    seed: int = 0
    side: int = 96
    num_train: int = 300
    num_train_aug: int = 1000
    num_val: int = 300
    num_test: int = 300
    num_classes: int = 8
    class_names: tuple[str, ...] = ()
    part_to_body: float = 0.35
    background_correlation: float = 0.7
    even_test: bool = False
    sub_categories: int = 3
    occlusion: float = 0.3
    noise: float = 4.0
    aspects: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        ranges = {
            "seed": (0, 2**63 - 1),
            "side": (32, 1024),
            "num_train": (1, 10**6),
            "num_train_aug": (self.num_train, 10**6),
            "num_val": (1, 10**6),
            "num_test": (1, 10**6),
            "num_classes": (2, len(CLASSES)),
            "part_to_body": (0.02, 1.0),
            "background_correlation": (0.0, 1.0),
            "sub_categories": (1, 3),
            "occlusion": (0.0, 1.0),
            "noise": (0.0, 64.0),
        }
        whole = {field.name for field in fields(self) if field.type in (int, "int")}
        for name, (low, high) in ranges.items():
            value = getattr(self, name)
            kind = (int,) if name in whole else (int, float)
            if isinstance(value, bool) or not isinstance(value, kind):
                raise TypeError(
                    f"benchmark dial {name} = {value!r} should be {'a whole' if name in whole else 'a'} number"
                )
            if not low <= value <= high:
                hint = "; train_aug contains train" if name == "num_train_aug" else ""
                raise ValueError(f"benchmark dial {name} = {value} lies outside {low} to {high}{hint}")
        object.__setattr__(self, "aspects", tuple(float(aspect) for aspect in self.aspects))
        object.__setattr__(self, "class_names", tuple(self.class_names))
        if not self.aspects or any(not 0.4 <= aspect <= 2.5 for aspect in self.aspects):
            raise ValueError(f"benchmark dial aspects = {self.aspects} should hold ratios in 0.4 to 2.5, at least one")
        if self.class_names and len(self.class_names) != self.num_classes:
            raise ValueError(
                f"{len(self.class_names)} class_names for {self.num_classes} classes; give one each, or none"
            )
        if len(set(self.classes)) != self.num_classes or any(
            not name or name.split() != [name] for name in self.classes
        ):
            raise ValueError(f"class_names {self.class_names} should be different single words")

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the foreground classes, in the order of their labels."""
        return self.class_names or tuple(look.noun for look in CLASSES[: self.num_classes])

    @property
    def num_images(self) -> int:
        return self.num_train_aug + self.num_val + self.num_test

    @property
    def name(self) -> str:
        """Short name of the folder: version, side, classes, and a hash of all dials.

        >>> Benchmark().name
        'v1-96px-8c-...'
        """
        dials = json.dumps(asdict(self), sort_keys=True)
        return f"v{VERSION}-{self.side}px-{self.num_classes}c-{hashlib.sha256(dials.encode()).hexdigest()[:8]}"
