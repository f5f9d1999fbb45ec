"""The page of errors has every class, and every message of those that people meet in a task's log."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
from collections.abc import Iterator

import pytest

import airflow_provider_persona
from airflow_provider_persona.api.errors import ProviderError
from tests.snippets import REPOSITORY

PAGE = (REPOSITORY / "docs" / "guides" / "errors.md").read_text("utf-8")
TOLD_BY_MESSAGE = (
    *("PlanError", "ThresholdError", "RunFailedError", "RunStoppedError", "MissingColumnError"),
    *("PersonaUnresolvedError", "FencedError", "StoreError"),
)
"""Classes of which the page has each message, and not only what the class means."""


def _classes() -> set[type]:
    for module in pkgutil.walk_packages(airflow_provider_persona.__path__, "airflow_provider_persona."):
        if module.name.split(".")[1] in ("api", "client", "bulk", "storage", "export"):
            importlib.import_module(module.name)
    found, new = set(), {ProviderError}
    while new:
        found |= new
        new = {each for cls in new for each in cls.__subclasses__() if each.__module__.startswith("airflow_provider")}
    return found


def _text(node: ast.expr) -> str:
    """Return a message as the source has it, with `…` for what is filled in."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    parts = node.values if isinstance(node, ast.JoinedStr) else []
    return "".join(part.value if isinstance(part, ast.Constant) else "…" for part in parts)


def _messages() -> Iterator[tuple[str, str]]:
    """Yield each message in the package, with the class of its error."""
    for path in (REPOSITORY / "airflow_provider_persona").rglob("*.py"):
        source = path.read_text("utf-8")
        if not any(f"{name}(" in source for name in TOLD_BY_MESSAGE):
            continue  # parsing takes longer, and each process of a run does it
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args:
                text = _text(node.args[0])
                if node.func.id in TOLD_BY_MESSAGE and text:
                    yield node.func.id, text


def _rows() -> list[tuple[str, str]]:
    """Return the messages on the page: class, and the part of its text that is told."""
    rows, of_table = [], ""
    for line in PAGE.splitlines():
        if heading := re.match(r"\| `(\w+)` says \|", line):
            of_table = heading[1]
        elif line.startswith("| class"):
            of_table = ""
        elif found := re.match(r"\| `(\w+)`: `(.+?)` \|", line):
            rows.append((found[1], found[2]))
        elif of_table and (found := re.match(r"\| `(.+?)` \|", line)):
            rows.append((of_table, found[1]))
    return rows


@pytest.mark.parametrize("cls", sorted(_classes(), key=lambda each: each.__name__), ids=lambda each: each.__name__)
def test_every_class_is_on_the_page(cls):
    assert f"`{cls.__name__}`" in PAGE


@pytest.mark.parametrize(("name", "message"), sorted(set(_messages())), ids=lambda each: each[:60])
def test_every_message_is_on_the_page(name, message):
    assert any(name == cls and part in message for cls, part in _rows())


@pytest.mark.parametrize(("name", "part"), _rows(), ids=lambda each: each[:60])
def test_no_message_on_the_page_is_one_of_the_past(name, part):
    assert any(name == cls and part in message for cls, message in _messages())
