"""Settings and records as text: YAML, JSON and `key=value` arguments, and where in them a mistake stands."""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from thaw.base.errors import ThawError
from thaw.base.files import by_git


class _Loader(yaml.SafeLoader):
    """YAML without its surprises: 1e-3 is a number, 010 is ten, `yes` and `no` are words, no key stands twice.

    PyYAML reads YAML 1.1; the scalars are those of YAML 1.2's core schema, with `_` between digits as in Python.
    """

    yaml_implicit_resolvers: dict[str, list] = {}

    def compose_mapping_node(self, anchor: str | None) -> yaml.MappingNode:
        node, seen = super().compose_mapping_node(anchor), set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and (key.tag, key.value) in seen:
                raise yaml.composer.ComposerError(None, None, f"{key.value} is set twice", key.start_mark)
            seen.add((key.tag, str(key.value)))
        return node


def _number(kind: type) -> Any:
    return lambda loader, node: kind(node.value.replace("_", "").lower().replace(".inf", "inf").replace(".nan", "nan"))


for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?[0-9]+(_[0-9]+)*", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(_[0-9]+)*(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+.0123456789"),
    ("float", r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", "-+."),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("merge", r"<<", "<"),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"(?:{_pattern})$"), list(_first))
_Loader.add_constructor("tag:yaml.org,2002:int", _number(int))
_Loader.add_constructor("tag:yaml.org,2002:float", _number(float))


def parse_yaml(text: str, where: str, column: int = 0) -> Any:
    """Return what a YAML text holds.

    Args:
        text: the document.
        where: what a mistake is told of, the file usually.
        column: how many characters stand before the text in its first line.

    Raises:
        ThawError: for what is not YAML, or sets a key twice; it names line and column.
    """
    try:
        return yaml.load(text, Loader=_Loader)  # a safe one
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        line, place = before.count("\n"), len(before) - before.rfind("\n") - 1
        problem = f"the character {chr(error.character)!r} is not allowed"
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, place, problem = mark.line, mark.column, error.problem or error.context
    except (RecursionError, ValueError) as error:  # nested a thousand deep, or a number of thousands of digits
        raise ThawError(f"{where} cannot be read: {error}") from None
    place += 1 + (0 if line else column)
    raise ThawError(f"{where} is not valid YAML at line {line + 1}, column {place}: {problem}") from None


def read_yaml(path: str | Path) -> Any:
    """Return what a YAML file holds; a `ThawError` says where it is none, or that it cannot be read."""
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ThawError(f"{path} is not valid YAML at line {line}: it is no text in UTF-8") from None
    except OSError as error:
        raise ThawError(f"cannot read {path}: {error.strerror or error}") from None
    return parse_yaml(text, str(path))


def read_json(path: Path, what: str, parts: Iterable[str] = ()) -> dict[str, dict[str, Any]]:
    """Return the entries of a JSON file of the project, by name; empty if there is no file.

    Args:
        path: of the file.
        what: it must do, for the message: "list released weights".
        parts: that every entry must have.

    Raises:
        ThawError: for what is no JSON, or other JSON.
    """
    try:
        found = json.loads(path.read_text()) if path.is_file() else {}
    except ValueError as error:  # its words tell the line and the column
        raise ThawError(f"{path} is not valid JSON ({error}); restore it with {by_git(path)}") from None
    entries = found.values() if isinstance(found, dict) else [None]
    if not all(isinstance(entry, dict) and {*parts} <= entry.keys() for entry in entries):
        raise ThawError(f"{path} does not {what}; move it, or name another folder")
    return found


def settings_of(pairs: list[str]) -> dict[str, Any]:
    """Parse `key=value` arguments; values are YAML, nothing is null.

    Raises:
        ThawError: for an argument without `=`, or a value that is not YAML.
    """
    settings: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key.strip():
            raise ThawError(f"settings are written key=value, got {pair!r}")
        settings[key.strip().replace("-", "_")] = parse_yaml(text, repr(pair), column=len(key) + 1)
    return settings
