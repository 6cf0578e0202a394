"""Parameters of a notebook: read from its parameters cell, checked by name, type and range before a run starts."""

import ast
import difflib
import io
import json
import re
import tokenize
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, create_model

TYPES: dict[str, type] = {"bool": bool, "int": int, "float": float, "str": str}
INTERVAL = re.compile(r"in (?P<open>[\[(])\s*(?P<low>[^,\s]+)\s*,\s*(?P<high>[^\])\s]+)\s*(?P<close>[\])])")
CHOICES = re.compile(r"one of (?P<names>[^;]+)")
TAKES = re.compile(r"(?P<number>[\d.]+)\s*(?P<unit>s|min|h|MB|GB)\b")
UNITS = {"s": 1, "min": 60, "h": 3600, "MB": 1, "GB": 1000}


class ParameterError(ValueError):
    """A parameter that does not exist, or a value of the wrong type or range; the message names the remedy."""


@dataclass(frozen=True)
class Parameter:
    """One line of the parameters cell: ``name: kind = default  # constraint; unit; source``."""

    name: str
    kind: str
    default: Any
    comment: str

    @property
    def annotation(self) -> Any:
        """The type that pydantic checks, with the interval or the choices of the comment."""
        listed = re.fullmatch(r"list\[(\w+)\]", self.kind)
        element = TYPES[listed.group(1) if listed else self.kind]
        constrained = _constrained(element, self.comment)
        return list[constrained] if listed else constrained


def _refuse_bool(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("true and false are no numbers")
    return value


def _constrained(element: type, comment: str) -> Any:
    """``element`` with the interval ``in [a, b)`` or the choices ``one of a, b`` that begin the comment."""
    if choices := CHOICES.match(comment):
        return Literal[tuple(element(name.strip()) for name in choices["names"].split(","))]
    if element not in (int, float):
        return element
    limits = {"allow_inf_nan": False} if element is float else {}
    if interval := INTERVAL.match(comment):
        low, high = float(interval["low"]), float(interval["high"])
        if low != -float("inf"):
            limits["ge" if interval["open"] == "[" else "gt"] = low
        if high != float("inf"):
            limits["le" if interval["close"] == "]" else "lt"] = high
    return Annotated[element, BeforeValidator(_refuse_bool), Field(**limits)]


@dataclass(frozen=True)
class ParameterSpec:
    """All parameters of one notebook, in the order of its parameters cell."""

    notebook: str
    parameters: tuple[Parameter, ...]
    title: str = ""  # first heading of the notebook

    def __iter__(self):
        return iter(self.parameters)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(parameter.name for parameter in self.parameters)

    @property
    def defaults(self) -> dict[str, Any]:
        return {parameter.name: parameter.default for parameter in self.parameters}

    def _model(self) -> type[BaseModel]:
        fields = {parameter.name: (parameter.annotation, parameter.default) for parameter in self.parameters}
        config = ConfigDict(extra="forbid", validate_default=True, protected_namespaces=())
        return create_model("Parameters", __config__=config, **fields)

    def validate(self, values: dict[str, Any]) -> dict[str, Any]:
        """All parameters with ``values`` in place of defaults, converted to their types.

        Raises:
            ParameterError: an unknown name (with the nearest known one), a wrong type, a value out of range.
        """
        if unknown := [name for name in values if name not in self.names]:
            name = str(unknown[0])
            near = difflib.get_close_matches(name, self.names, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ParameterError(f"{self.notebook} has no parameter {name!r}{hint} Known: {', '.join(self.names)}")
        try:
            return self._model()(**values).model_dump()
        except ValidationError as error:
            first = error.errors()[0]
            parameter = next(p for p in self.parameters if p.name == first["loc"][0])
            raise ParameterError(
                f"{self.notebook}: parameter {parameter.name} is {values.get(parameter.name, parameter.default)!r}; "
                f"{first['msg']} (declared: {parameter.kind}, {parameter.comment})"
            ) from None


def read_parameters(notebook: Path) -> ParameterSpec:
    """Parameters of a notebook file, from its cell tagged ``parameters``.

    Raises:
        ParameterError: the notebook has no such cell, or a line of it is not ``name: type = default  # comment``.
    """
    notebook = Path(notebook)
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    tagged = [cell for cell in cells if "parameters" in cell["metadata"].get("tags", [])]
    if len(tagged) != 1:
        raise ParameterError(f"{notebook} has {len(tagged)} cells tagged 'parameters'; it needs one")
    heading = "".join(cells[0]["source"]).partition("\n")[0].lstrip("# ") if cells[0]["cell_type"] == "markdown" else ""
    return ParameterSpec(notebook.stem, parse_parameters("".join(tagged[0]["source"]), notebook.stem), heading)


def parse_parameters(source: str, where: str = "parameters") -> tuple[Parameter, ...]:
    """The typed assignments of a parameters cell.

    >>> parse_parameters("epochs: int = 2  # in [1, inf); passes over the training split")[0].default
    2
    """
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    comments = {token.start[0]: token.string.lstrip("# ") for token in tokens if token.type == tokenize.COMMENT}
    parameters = []
    for line in ast.parse(source).body:
        if isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant):
            continue
        text = ast.get_source_segment(source, line)
        if not isinstance(line, ast.AnnAssign) or line.value is None or not isinstance(line.target, ast.Name):
            raise ParameterError(f"{where}: {text!r} should read `name: type = default  # comment`")
        kind = ast.unparse(line.annotation)
        if kind not in TYPES and not re.fullmatch(r"list\[(bool|int|float|str)\]", kind):
            raise ParameterError(f"{where}: {text!r} has type {kind}; use bool, int, float, str or a list[...] of them")
        comment = comments.get(line.end_lineno, "")
        if not comment:
            raise ParameterError(f"{where}: {text!r} needs a comment with unit and source")
        parameters.append(Parameter(line.target.id, kind, ast.literal_eval(line.value), comment))
    return tuple(parameters)


@dataclass(frozen=True)
class Promise:
    """Header comments of a parameter file: what it reproduces, what to expect, what it takes."""

    text: str
    expected_seconds: float | None = None
    expected_megabytes: float | None = None


def read_yaml(path: Path) -> tuple[dict[str, Any], Promise]:
    """Values of a parameter file, and the promise in the comments at its top.

    A header line ``# takes: 70 s, 15 MB; 2 cores`` gives the expected seconds and megabytes.

    Raises:
        ParameterError: the file is not a flat mapping, or names a parameter twice.
    """
    path = Path(path)
    text = path.read_text(encoding="utf-8")
    header = [line.lstrip("# ").rstrip() for line in text.splitlines() if line.startswith("#")]
    takes = next((line for line in header if line.startswith("takes:")), "")
    sizes: dict[str, float] = {}
    for found in TAKES.finditer(takes):
        key = "expected_megabytes" if found["unit"] in ("MB", "GB") else "expected_seconds"
        sizes.setdefault(key, float(found["number"]) * UNITS[found["unit"]])
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        values = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise ParameterError(f"{path} is no valid YAML: {error}") from None
    if not isinstance(values, dict):
        raise ParameterError(f"{path} should hold lines `name: value`, and holds a {type(values).__name__}")
    names = [key.value for key, _ in node.value] if node is not None else []
    if twice := [name for name in names if names.count(name) > 1]:
        raise ParameterError(f"{path} names {twice[0]!r} twice")
    return {str(name): value for name, value in values.items()}, Promise("\n".join(header), **sizes)
