# ruff: noqa: INP001
"""Finds what the package offers to Dags: its classes by module, and the arguments that each class takes.

Operators with declared arguments have all of them in their signature and in their docstring. Other classes take the
arguments of their base classes through `**kwargs`. A reader wants one list, so this module joins the arguments of all
our classes that a class inherits from, each with the nearest text that describes it.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any

PACKAGE = "airflow_provider_persona"
FLOORS = ("operators", "sensors", "triggers", "transfers", "hooks", "decorators", "notifications")
"""The packages that hold classes for Dags."""

_FIELD = re.compile(r"^:(param|raises|returns?)(?: ([\w.]+))?:\s?(.*)$")


@dataclass(frozen=True)
class Argument:
    """One argument of a class.

    :param name: its name.
    :param type: its type as it stands in the source.
    :param default: its default as Python writes it, None when it must be given.
    :param text: its description in a docstring, empty when there is none.
    """

    name: str
    type: str
    default: str | None
    text: str


@dataclass(frozen=True)
class Docstring:
    """A docstring, split into its parts.

    :param prose: the lines that are no fields.
    :param arguments: texts of `:param`, by name.
    :param others: the other fields, unchanged.
    """

    prose: tuple[str, ...]
    arguments: dict[str, str]
    others: tuple[str, ...]


@cache
def modules(floor: str) -> tuple[ModuleType, ...]:
    """Return the modules of one of the `FLOORS`, by name."""
    package = importlib.import_module(f"{PACKAGE}.{floor}")
    names = sorted(found.name for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."))
    return tuple(importlib.import_module(name) for name in names)


def classes_in(module: ModuleType) -> list[type]:
    """Return the operators, sensors, triggers and hooks that a module defines for use in Dags, in its order.

    The name decides: a class that only serves others has no `Persona` in its name, or a private name.
    """
    return [each for each in all_classes_in(module) if "Persona" in each.__name__ and not each.__name__.startswith("_")]


def all_classes_in(module: ModuleType) -> list[type]:
    """Return all operators, sensors, triggers and hooks that a module defines, also those that only serve others."""
    bases = _airflow_bases()
    own = [each for each in vars(module).values() if inspect.isclass(each) and each.__module__ == module.__name__]
    return [each for each in own if issubclass(each, bases)]


@cache
def public_classes() -> tuple[type, ...]:
    """Return all classes for use in Dags."""
    return tuple(each for floor in FLOORS for module in modules(floor) for each in classes_in(module))


@cache
def _airflow_bases() -> tuple[type, ...]:
    from airflow.providers.common.compat.sdk import BaseHook, BaseNotifier, BaseOperator
    from airflow.triggers.base import BaseTrigger

    return BaseOperator, BaseTrigger, BaseHook, BaseNotifier


def arguments_of(cls: type) -> list[Argument]:
    """Return every argument that a class takes: those that its docstring describes come first.

    A class that gives a base class's argument itself does not take that argument.
    """
    found: dict[str, Argument] = {}
    given: set[str] = set()
    for owner in _ours(cls):
        init = vars(owner).get("__init__")
        if init is None:
            continue
        own, passes_on = _parameters(init)
        for parameter in own:
            name = parameter.name
            if name in found or name in given:
                continue
            text = text_of(cls, name)
            if parameter.kind is not parameter.VAR_KEYWORD or text:
                found[name] = Argument(name, _type(parameter), _default(parameter), text)
        if not passes_on:
            break
        given |= _given_to_base(init)
    described = [*docstring_of(cls).arguments]  # in an order that has a meaning: "this, or", "that"
    return sorted(
        found.values(),
        key=lambda argument: described.index(argument.name) if argument.name in described else len(described),
    )


def text_of(cls: type, name: str) -> str:
    """Return the nearest docstring's description of an argument, empty when there is none."""
    texts = (docstring_of(owner).arguments.get(name, "") for owner in _ours(cls))
    return next((text for text in texts if text), "")


def prose_of(cls: type) -> list[str]:
    """Return a class's docstring without its fields."""
    return [*docstring_of(cls).prose]


def first_sentence(documented: Any) -> str:
    """Return the first sentence of a docstring."""
    text = " ".join(inspect.cleandoc(documented.__doc__ or "").split("\n\n")[0].split())
    return re.split(r"(?<=[.])\s", text, maxsplit=1)[0]


@cache
def docstring_of(cls: type) -> Docstring:
    """Return a class's own docstring, split into its parts."""
    prose: list[str] = []
    arguments: dict[str, str] = {}
    others: list[str] = []
    into: list[str] | None = None
    name = ""
    for line in inspect.cleandoc(vars(cls).get("__doc__") or "").splitlines():
        field = _FIELD.match(line)
        if field is not None:
            name = field[2] if field[1] == "param" else ""
            into = None if name else others
            if name:
                arguments[name] = field[3]
            else:
                others.append(line)
        elif line.startswith(" ") and name:
            arguments[name] += f" {line.strip()}"
        elif line.startswith(" ") and into is others:
            others.append(line)
        else:
            name, into = "", None
            prose.append(line)
    return Docstring(tuple(prose), arguments, tuple(others))


def _ours(cls: type) -> Iterator[type]:
    """Yield a class and its base classes of our package, nearest first."""
    return (owner for owner in cls.__mro__ if owner.__module__.startswith(f"{PACKAGE}.") or owner is cls)


def _parameters(init: Any) -> tuple[list[inspect.Parameter], bool]:
    """Return the parameters of an `__init__`, and whether it passes further ones on."""
    parameters = list(inspect.signature(init).parameters.values())[1:]
    return parameters, any(each.kind is each.VAR_KEYWORD for each in parameters)


def _given_to_base(init: Any) -> set[str]:
    """Return the names of the arguments that an `__init__` passes to the one of its base class."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(init))))
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call))
    to_base = (call for call in calls if isinstance(call.func, ast.Attribute) and call.func.attr == "__init__")
    return {keyword.arg for call in to_base for keyword in call.keywords if keyword.arg is not None}


def _type(parameter: inspect.Parameter) -> str:
    annotation = parameter.annotation
    return annotation if isinstance(annotation, str) else ""


def _default(parameter: inspect.Parameter) -> str | None:
    if parameter.kind is parameter.VAR_KEYWORD:
        return "{}"
    return None if parameter.default is parameter.empty else repr(parameter.default)
