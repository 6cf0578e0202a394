"""Scene sentences: text about the nouns of the benchmark, written by a grammar that knows no picture.

Word vectors are learnt from this text alone (LaViSE in the offline form). The grammar knows the nouns, which of them
belong together, and where and how they are met; it knows neither classes nor masks nor how often things are painted.
"""

from collections.abc import Sequence

from numpy.random import PCG64, Generator

from wsss_lib.data.scenes.dials import Benchmark
from wsss_lib.data.scenes.looks import CLASSES, GROUP_OF_BODY, SCENERY_NOUNS

#: group -> places, verbs, adjectives that its nouns are met with
CONTEXTS = {
    "beasts": (
        "pasture paddock barn stable den burrow ranch hillside corral thicket",
        "grazes gallops chews trots sniffs prowls bleats wanders naps growls",
        "woolly hungry shaggy tame wild sturdy furry drowsy",
    ),
    "birds": (
        "pond nest coop marsh lagoon perch roost aviary shore henhouse",
        "paddles pecks flutters quacks clucks preens glides honks hatches dives",
        "feathered plump noisy downy proud fluffy nimble shy",
    ),
    "crafts": (
        "garage depot harbor station crossing terminal dock highway workshop pier",
        "honks rumbles departs parks hauls brakes sails unloads reverses waits",
        "rusty crowded loaded speedy heavy shiny late empty",
    ),
    "plants": (
        "garden nursery orchard hedge grove greenhouse terrace clearing border dune",
        "blooms grows sprouts withers sways ripens climbs spreads wilts shades",
        "green leafy thorny fresh fragrant tall budding wild",
    ),
    "grounds": (
        "horizon valley plain landscape coast square field bay slope plateau",
        "stretches glitters freezes dries shimmers lies surrounds covers floods rolls",
        "wide soft wet bright rough deep dusty cold",
    ),
    "pieces": (
        "sketch closeup detail drawing corner silhouette outline portrait model diagram",
        "twitches turns points bends wags folds spins shines hangs lifts",
        "curved pointed long short round thin stiff tiny",
    ),
}

#: other words for a noun, which are never labels
SYNONYMS = {
    "duck": ("mallard", "teal"), "hen": ("chicken", "pullet"), "cow": ("heifer", "cattle"), "fox": ("reynard", "kit"),
    "bus": ("omnibus", "shuttle"), "truck": ("hauler", "rig"), "goose": ("barnacle", "greylag"),
    "horse": ("mare", "steed"), "sheep": ("ewe", "mutton"), "boat": ("rowboat", "skiff"), "pig": ("hog", "sow"),
    "deer": ("doe", "roebuck"), "tractor": ("plough", "crawler"), "car": ("automobile", "sedan"), "cat": ("feline",),
    "dog": ("canine", "mongrel"), "ferry": ("ship", "vessel"), "yacht": ("sloop", "ketch"), "bear": ("bruin",),
    "tree": ("oak", "willow"), "bush": ("shrub", "bramble"), "flower": ("blossom", "daisy"), "reed": ("rush", "sedge"),
    "mushroom": ("toadstool", "fungus"), "cactus": ("succulent",), "fir": ("spruce", "conifer"),
    "grass": ("lawn", "turf"), "water": ("ripple",), "sea": ("ocean", "surf"), "snow": ("frost",), "sky": ("heaven",),
    "pavement": ("asphalt", "tarmac"), "sand": ("gravel",), "moss": ("lichen",), "horn": ("antler",),
    "beak": ("bill",), "wing": ("pinion",), "wheel": ("tire",), "window": ("pane",), "tail": ("rump",),
}  # fmt: skip
IRREGULAR_PLURALS = {
    "calf": "calves", "sheep": "flock", "goose": "geese", "gosling": "goslings", "deer": "herd", "moss": "mosses",
    "grass": "grasses", "cactus": "cacti", "pony": "ponies", "ferry": "ferries", "lorry": "lorries",
    "puppy": "puppies", "sky": "skies", "snow": "snows", "water": "waters", "sand": "sands",
}  # fmt: skip
TEMPLATES = (
    "the {a1} {n1} {v1} near the {p1}",
    "a {n1} and a {n2} {v1} at the {p1}",
    "in the {p1} a {a1} {n1} {v1} beside the {n2}",
    "{n1} , {n2} and {n3} by the {p1}",
    "we saw one {a1} {n1} that {v1} with another {n2} in the {p1}",
    "every {n1} {v1} while the {a1} {n2} {v2} behind the {p1}",
    "here is a {a1} {n1} , a {n2} , some {n3} and the {n4} of the {p1}",
    "at the {p1} there were {n1} and {a1} {n2} under a {n3}",
)
FOREIGN = 0.06  # share of words that come from another group


def nouns(benchmark: Benchmark) -> dict[str, tuple[str, ...]]:
    """The nouns of all annotated regions, in six groups.

    >>> sum(len(group) for group in nouns(Benchmark()).values())
    48
    """
    groups: dict[str, list[str]] = {"beasts": [], "birds": [], "crafts": []}
    for index, name in enumerate(benchmark.classes):
        group = groups[GROUP_OF_BODY[CLASSES[index].body]]
        group += [name] if benchmark.class_names else CLASSES[index].nouns[: benchmark.sub_categories]
    return {group: tuple(names) for group, names in groups.items() if names} | SCENERY_NOUNS


def plural(noun: str) -> str:
    """More than one of it.

    >>> plural("bus"), plural("calf"), plural("hen")
    ('buses', 'calves', 'hens')
    """
    if noun in IRREGULAR_PLURALS:
        return IRREGULAR_PLURALS[noun]
    return noun + ("es" if noun.endswith(("s", "x", "ch", "sh")) else "s")


def _kins(groups: dict[str, tuple[str, ...]], benchmark: Benchmark) -> dict[str, int]:
    """Number of the family (cow, bull, calf) of a noun within its group; single nouns are families of their own."""
    family = {}
    for look in CLASSES[: benchmark.num_classes]:
        family |= dict.fromkeys(look.nouns, look.noun)
    kins = {}
    for names in groups.values():
        heads = list(dict.fromkeys(family.get(name, name) for name in names))
        kins |= {name: heads.index(family.get(name, name)) for name in names}
    return kins


def _pick(options: Sequence[str], draw: float) -> str:
    return options[int(draw * len(options))]


def scene_sentences(benchmark: Benchmark, count: int = 20_000) -> list[str]:
    """Sentences in lower case, words separated by blanks; the same for the same nouns and seed."""
    groups = nouns(benchmark)
    kins = _kins(groups, benchmark)
    names = list(groups)
    contexts = {group: [words.split() for words in CONTEXTS[group]] for group in names}
    rng = Generator(PCG64([benchmark.seed, 20_000]))
    return [_sentence(rng.random(32), names, groups, contexts, kins) for _ in range(count)]


def _sentence(draws, names, groups, contexts, kins) -> str:
    """One sentence from 32 uniform numbers: a topic, a template, and words that the topic favors."""
    stream = iter(draws.tolist())
    topic = _pick(names, next(stream))
    template = _pick(TEMPLATES, next(stream))
    first = _pick(groups[topic], next(stream))
    words = {"n1": _inflected(first, next(stream), next(stream))}
    for slot in ("n2", "n3", "n4"):
        group = _pick(names, next(stream)) if next(stream) < FOREIGN else topic
        words[slot] = _inflected(_pick(groups[group], next(stream)), next(stream), next(stream))
    for slot, kind in (("p1", 0), ("v1", 1), ("v2", 1), ("a1", 2)):
        options = contexts[topic][kind]
        favor, pick = next(stream), next(stream)
        if favor < 0.3:  # a word that the family of the first noun favors
            chosen = 3 * kins[first] + int(pick * 3)
        elif favor < 0.75:  # one that this very noun favors
            chosen = 7 * groups[topic].index(first) + 3 * kind + int(pick * 2)
        else:
            chosen = int(pick * len(options))
        words[slot] = options[chosen % len(options)]
    return template.format(**words)


def _inflected(noun: str, draw: float, pick: float) -> str:
    """The noun itself, its plural, or a synonym."""
    if draw < 0.2:
        return plural(noun)
    if draw < 0.38 and noun in SYNONYMS:
        return _pick(SYNONYMS[noun], pick)
    return noun


def label_free_words(benchmark: Benchmark) -> set[str]:
    """All words that the grammar can write and that are no nouns of the benchmark."""
    groups = nouns(benchmark)
    every = {noun for group in groups.values() for noun in group}
    words = {plural(noun) for noun in every} | {word for noun in every for word in SYNONYMS.get(noun, ())}
    words |= {word for group in groups for kind in CONTEXTS[group] for word in kind.split()}
    words |= {word for template in TEMPLATES for word in template.split() if not word.startswith("{")}
    return words - every
