"""What things look like: the classes with their parts, the bodies that classes share, and the nouns for them."""

from dataclasses import dataclass

Color = tuple[float, float, float]


def rgb(code: str) -> Color:
    """Color from six hexadecimal digits.

    >>> rgb("ff0080")
    (1.0, 0.0, 0.502)
    """
    return tuple(round(int(code[i : i + 2], 16) / 255, 3) for i in (0, 2, 4))


@dataclass(frozen=True)
class BodyLook:
    """Color and pattern of a body: ``adjective`` is its word in the annotations."""

    adjective: str
    main: Color
    second: Color
    pattern: str  # plain, patches, stripes or speckles


#: body -> its looks; every class of the body takes several of them, every look belongs to several classes
BODIES = {
    "beast": (
        BodyLook("cream", rgb("e9dcc0"), rgb("d8c49c"), "plain"),
        BodyLook("patched", rgb("f3efe6"), rgb("4a3f3a"), "patches"),
        BodyLook("striped", rgb("b59a7a"), rgb("6b5442"), "stripes"),
        BodyLook("gray", rgb("9b9aa0"), rgb("76757e"), "speckles"),
    ),
    "bird": (
        BodyLook("white", rgb("f2f0ea"), rgb("cfd2d6"), "plain"),
        BodyLook("speckled", rgb("c3a27a"), rgb("6f5236"), "speckles"),
        BodyLook("barred", rgb("a9b6c6"), rgb("5d6b80"), "stripes"),
        BodyLook("pied", rgb("ece6dc"), rgb("453f45"), "patches"),
    ),
    "vehicle": (
        BodyLook("plain", rgb("e4e6e8"), rgb("c3c8cd"), "plain"),
        BodyLook("ribbed", rgb("7fa3b8"), rgb("557a92"), "stripes"),
        BodyLook("rusty", rgb("b98d6c"), rgb("7d5a44"), "patches"),
        BodyLook("dotted", rgb("9fb79b"), rgb("6a8768"), "speckles"),
    ),
    "vessel": (
        BodyLook("varnished", rgb("a97b4f"), rgb("7c5636"), "stripes"),
        BodyLook("painted", rgb("eef0f2"), rgb("c5ccd4"), "plain"),
        BodyLook("mottled", rgb("8a97a3"), rgb("566471"), "patches"),
        BodyLook("sprayed", rgb("c9c2b2"), rgb("8f887a"), "speckles"),
    ),
}


@dataclass(frozen=True)
class PartLook:
    """The class-specific part of one sub-category (a head, a cab, a rig)."""

    main: Color
    accent: Color
    detail: Color
    size: float = 1.0  # factor on the diameter
    crest: float = 1.0  # factor on horns, ears, comb or funnel


@dataclass(frozen=True)
class ClassLook:
    """One class: what shape its part has, where it is at home, and its sub-categories.

    Attributes:
        noun: name of the class and of its first sub-category.
        body: key of ``BODIES``.
        home: family of backgrounds in which the class is mostly seen.
        shape: features of the part, words that the drawing functions know.
        nouns: names of the sub-categories.
        parts: looks of the part, one per sub-category.
    """

    noun: str
    body: str
    home: str
    shape: tuple[str, ...]
    nouns: tuple[str, str, str]
    parts: tuple[PartLook, PartLook, PartLook]


def _parts(first: str, second: str, third: str) -> tuple[PartLook, PartLook, PartLook]:
    """Three part looks from words such as ``e2732c ffffff 20160f 1.1 0.8``."""
    looks = []
    for words in (first.split(), second.split(), third.split()):
        size, crest = (float(word) for word in (words[3:] or ("1", "1")))
        looks.append(PartLook(rgb(words[0]), rgb(words[1]), rgb(words[2]), size, crest))
    return tuple(looks)


def _look(noun: str, body: str, home: str, shape: str, nouns: str, *parts: str) -> ClassLook:
    return ClassLook(noun, body, home, tuple(shape.split()), tuple(nouns.split()), _parts(*parts))


#: colors of a part: face, accent (muzzle, cheek, comb, windscreen frame), detail (ears, beak, horns, trim)
CLASSES = (
    _look("duck", "bird", "lake", "flat-bill collar", "duck drake duckling",
          "1c9a4c f6f6f0 f6b51e", "128a5e f6f6f0 eda81a 1.05 1", "46a838 f8f2cc f8b03a 0.97 1"),
    _look("hen", "bird", "meadow", "short-bill comb wattle", "hen rooster chick",
          "c4462f d61f26 efc04a", "a8341f e0151c f0b93a 1.05 1.5", "d9683c d8343a f2cf62 0.95 0.7"),
    _look("cow", "beast", "meadow", "muzzle horns floppy-ears", "cow bull calf",
          "2b2625 f2aea4 efe4c6", "211c1c e89c92 efe4c6 1.06 1.5", "4a3b36 f6bcb2 efe4c6 0.97 0.6"),
    _look("fox", "beast", "snow", "pointed-snout pointed-ears", "fox vixen cub",
          "ee7420 fff6ea 2b1a12", "dc5f1a ffeede 2b1a12 1.0 0.9", "f68c3c fffaf2 3a2418 0.97 1.2"),
    _look("bus", "vehicle", "street", "box-cab lamp", "bus coach minibus",
          "f3bf2e 2f3a44 fff4c8", "efae1c 2f3a44 fff4c8 1.05 1", "f6cd58 2f3a44 fff4c8 0.95 1"),
    _look("truck", "vehicle", "forest", "slant-cab exhaust", "truck lorry pickup",
          "c9302c dfe8ee 3a3a3e", "b2242f dfe8ee 3a3a3e 1.05 1.3", "d84a3a dfe8ee 3a3a3e 0.95 0.7"),
    _look("goose", "bird", "sea", "long-bill cheek", "goose gander gosling",
          "2e2a3c fbf9f2 f57f1e", "232034 f6f3ea ea7014 1.06 1", "454056 f6f0de f99a42 0.98 1"),
    _look("horse", "beast", "sand", "muzzle mane blaze upright-ears", "horse pony foal",
          "8c3f1f fbf4e6 f0dca8", "7a2f1c f6ead4 e6cc90 1.04 1.2", "a4522a fbf4e6 f4e4b8 0.97 0.8"),
    _look("sheep", "beast", "sand", "muzzle wool floppy-ears", "sheep ram lamb",
          "2f2c30 f6f2e8 f6f2e8", "3b3330 efe6d2 e9dcc0 1.06 1.3", "454046 fbf8f0 fbf8f0 0.94 0.8"),
    _look("boat", "vessel", "lake", "cabin", "boat dinghy canoe",
          "d8452f f6f1e4 2e3a44", "c63a3a f6f1e4 2e3a44 1.05 1", "e25f3a f6f1e4 2e3a44 0.95 1"),
    _look("yacht", "vessel", "sea", "sail", "yacht sailboat catamaran",
          "f4ead2 d23c46 5a4636", "f7f2e6 2a67b0 5a4636 1.06 1", "efe0bc e08a2c 5a4636 0.95 1"),
    _look("pig", "beast", "meadow", "disc-snout floppy-ears", "pig boar piglet",
          "f2a6ad d9747f e58d96", "d98791 b85a68 c9707c 1.06 1", "f7bcc0 e58d96 ee9fa6 0.95 1"),
    _look("deer", "beast", "forest", "muzzle antlers upright-ears", "deer stag fawn",
          "a86432 f4e6d0 d9c29a", "8e5026 efe0c8 d2b88a 1.05 1.5", "bd7a44 f8efdf e2cfaa 0.95 0.6"),
    _look("tractor", "vehicle", "meadow", "box-cab exhaust", "tractor harvester digger",
          "2f8f3f eaf2e4 f2c230", "217a38 eaf2e4 f2c230 1.06 1.3", "55a84a eaf2e4 f2c230 0.96 0.8"),
    _look("swan", "bird", "lake", "knob long-bill", "swan cob cygnet",
          "fbfbf8 1c1c20 ee7f2a", "f5f3ee 1c1c20 e56a1c 1.06 1.3", "d6d2cc 2a2a2e d98a50 0.95 0.7"),
    _look("bear", "beast", "snow", "muzzle round-ears", "bear grizzly panda",
          "4a2e1f caa27c 2f1c12", "6a4226 d8b48e 432817 1.06 1", "f3f1ec 2a2a2e 1f1f22 1.0 1.1"),
    _look("car", "vehicle", "street", "slant-cab lamp", "car taxi jeep",
          "2f62c4 dcecf6 f6f0c8", "3a78dc dcecf6 f6f0c8 1.0 1", "254a96 dcecf6 f6f0c8 1.05 1"),
    _look("ferry", "vessel", "sea", "cabin funnel", "ferry steamer liner",
          "2c58a0 f6f6f2 e23a2e", "234680 f6f6f2 e6a02c 1.06 1.3", "3c70bc f6f6f2 d8452f 1.0 0.8"),
    _look("parrot", "bird", "forest", "hook-bill comb", "parrot macaw parakeet",
          "2fa84f f3d23c 3a3a3e", "2a72c8 f3c42c 2a2a2e 1.06 1.2", "9ccc3c e85a3a 4a4a4e 0.95 0.8"),
    _look("cat", "beast", "street", "pointed-ears whiskers", "cat tabby kitten",
          "6d7480 f0b9b4 4a505a", "a08a6a eec0b0 5f4c38 1.04 1", "8b929c f4c6c0 5a606a 0.92 1.2"),
    _look("dog", "beast", "sand", "muzzle long-ears", "dog hound puppy",
          "e6d3a8 3a2a22 8a5a34", "c9a874 2e221c 6b4226 1.05 1.2", "efe0be 4a382e a8744a 0.94 0.9"),
    _look("gull", "bird", "sea", "hook-bill cheek", "gull tern puffin",
          "dfe4ea 8a929c f0c030", "2c2c34 f4f4f0 d8452f 0.96 1", "e8e4da 30303a f06a24 1.04 1.2"),
    _look("van", "vehicle", "sand", "slant-cab roof-box", "van ambulance camper",
          "e07a2c dcecf6 f6f1e4", "f4f4f4 c8283a c8283a 1.05 1", "c85f8a dcecf6 f6f1e4 1.0 1.1"),
    _look("goat", "beast", "meadow", "pointed-snout horns beard", "goat ibex kid",
          "e9e4da b8a898 6a5f52", "8f7a62 e0d2c0 5a4c3e 1.05 1.7", "f4f0e8 cdbcae 7a6e60 0.94 0.6"),
)  # fmt: skip

#: what else stands in the pictures, and is background to the masks
PLANTS = {
    "meadow": ("flower", "bush", "tree"),
    "forest": ("mushroom", "tree", "bush"),
    "street": ("tree", "bush", "flower"),
    "sand": ("cactus", "bush", "reed"),
    "snow": ("fir", "bush", "tree"),
    "lake": ("reed", "flower", "bush"),
    "sea": ("reed", "bush"),
}
#: those of them that may stand before an object
COVERS = {
    "meadow": ("bush", "flower"),
    "forest": ("mushroom", "bush"),
    "street": ("bush", "tree"),
    "sand": ("cactus", "bush"),
    "snow": ("fir", "bush"),
    "lake": ("bush", "flower"),
    "sea": ("bush",),
}

#: six groups of nouns; the names of the classes are added to beasts, birds and craft
SCENERY_NOUNS = {
    "plants": ("flower", "bush", "tree", "mushroom", "cactus", "fir", "reed"),
    "grounds": ("grass", "moss", "pavement", "sand", "snow", "water", "sea", "sky"),
    "pieces": ("ear", "horn", "tail", "leg", "beak", "wing", "comb", "wheel", "window"),
}
GROUP_OF_BODY = {"beast": "beasts", "bird": "birds", "vehicle": "crafts", "vessel": "crafts"}


def body_look(class_index: int, sub_category: int) -> BodyLook:
    """Look of the body of a sub-category: classes of one body start at different places of the same list."""
    body = CLASSES[class_index].body
    rank = sum(look.body == body for look in CLASSES[:class_index])
    return BODIES[body][(sub_category + rank) % len(BODIES[body])]
