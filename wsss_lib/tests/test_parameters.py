"""Parameters cells: what is read, what is converted, what is refused and with which words."""

import json

import pytest

from wsss_lib.parameters import ParameterError, ParameterSpec, parse_parameters, read_parameters, read_yaml

CELL = """\
seed: int = 0  # in [0, inf); random seed
learning_rate: float = 0.1  # in (0, 1]; initial rate
flip: bool = True  # average with the mirrored image
form: str = "official"  # one of official, paper; which form
scales: list[float] = [1.0, 0.5]  # in (0, inf); image scales
classes: list[str] = []  # subset of the classes, [] for all
"""
SPEC = ParameterSpec("10_toy", parse_parameters(CELL))


def test_order_defaults_and_types():
    assert SPEC.names == ("seed", "learning_rate", "flip", "form", "scales", "classes")
    assert SPEC.validate({}) == SPEC.defaults
    assert SPEC.defaults["scales"] == [1.0, 0.5]


@pytest.mark.parametrize(
    "given, read",
    [
        ({"learning_rate": "1e-3"}, 0.001),
        ({"learning_rate": 1}, 1.0),
        ({"flip": "false"}, False),
        ({"scales": [1, 2]}, [1.0, 2.0]),
        ({"classes": ["cat"]}, ["cat"]),
    ],
)
def test_yaml_slips_are_converted(given, read):
    (name,) = given
    value = SPEC.validate(given)[name]
    assert value == read and type(value) is type(read)


@pytest.mark.parametrize(
    "given, words",
    [
        ({"learning_rat": 0.1}, "did you mean 'learning_rate'"),
        ({"seed": -1}, "greater than or equal to 0"),
        ({"seed": 0.5}, "valid integer"),
        ({"seed": True}, "no numbers"),
        ({"learning_rate": 0}, "greater than 0"),
        ({"learning_rate": float("nan")}, "greater than 0"),
        ({"scales": [1.0, 0.0]}, "greater than 0"),
        ({"form": "papr"}, "'official' or 'paper'"),
        ({"classes": "cat"}, "valid list"),
    ],
)
def test_refusals_name_the_parameter(given, words):
    with pytest.raises(ParameterError, match=words) as refusal:
        SPEC.validate(given)
    assert next(iter(given)) in str(refusal.value)


@pytest.mark.parametrize("line", ["seed = 0  # untyped", "seed: int = 0", "size: tuple = (1, 2)  # tuple", "print(1)"])
def test_malformed_lines_are_refused(line):
    with pytest.raises(ParameterError):
        parse_parameters(line)


def notebook(path, tags):
    cells = [
        {"cell_type": "code", "metadata": {"tags": t}, "source": ["seed: int = 3  # in [0, 9]; seed"]} for t in tags
    ]
    path.write_text(json.dumps({"cells": cells}))
    return path


def test_read_from_the_tagged_cell(tmp_path):
    spec = read_parameters(notebook(tmp_path / "10_toy.ipynb", [["parameters"], []]))
    assert spec.notebook == "10_toy" and spec.defaults == {"seed": 3}
    with pytest.raises(ParameterError, match="has 0 cells tagged"):
        read_parameters(notebook(tmp_path / "11_toy.ipynb", [[]]))


def test_yaml_values_and_promise(tmp_path):
    file = tmp_path / "demo.yaml"
    file.write_text("# promise: Table 1\n# takes: 1.5 min, 2 GB; 2 cores\nseed: 1\nlearning_rate: 1e-3\n")
    values, promise = read_yaml(file)
    assert values == {"seed": 1, "learning_rate": "1e-3"}
    assert (promise.expected_seconds, promise.expected_megabytes) == (90, 2000)
    assert "Table 1" in promise.text


@pytest.mark.parametrize("text, words", [("a: 1\na: 2\n", "twice"), ("- 1\n", "list"), ("a: [1\n", "no valid YAML")])
def test_broken_yaml_is_refused(tmp_path, text, words):
    (tmp_path / "demo.yaml").write_text(text)
    with pytest.raises(ParameterError, match=words):
        read_yaml(tmp_path / "demo.yaml")


def test_an_empty_file_means_defaults(tmp_path):
    (tmp_path / "smoke.yaml").write_text("# promise: claims nothing\n")
    assert read_yaml(tmp_path / "smoke.yaml")[0] == {}
