"""The documentation is complete: everything for Dags is described."""

from __future__ import annotations

import importlib
import re
import sys

import pytest

from airflow_provider_persona.version_compat import BaseOperator
from tests.snippets import REPOSITORY, make_targets, module_exists, named_modules, named_targets

DOCS = REPOSITORY / "docs"
GUIDES = {
    "first-connection": "First connection",
    "bulk-update": "Bulk update of cases",
    "matching": "Decide cases by reference id",
    "approval": "Plan, approve, apply, revert",
    "tab": "The Persona tab",
    "inquiries": "Inquiries, accounts and other objects",
    "resume-and-audit": "Resume and audit",
    "rate-limits": "Rate limits and reserve",
    "any-operation-in-bulk": "Any operation in bulk",
    "single-operations": "Single operations",
    "reading": "Reading into a warehouse or object store",
    "events": "Events that start Dags",
    "testing": "Testing Dags with the simulator",
    "migrating": "Migrating from hand-written calls",
    "personal-data": "Personal data and security",
    "errors": "Errors and what to do",
    "lineage-and-notices": "Lineage, notices and retries",
    "running-at-scale": "Running on Celery or Kubernetes",
}

sys.path.insert(0, str(DOCS / "_ext"))
import persona_classes  # noqa: E402 - the path comes first

PUBLIC = persona_classes.public_classes()
ERRORS = {name for name in vars(importlib.import_module("airflow_provider_persona.api.errors")) if "Error" in name}


# ---------------------------------------------------------------------- everything is described


@pytest.mark.parametrize("cls", PUBLIC, ids=lambda cls: cls.__name__)
def test_a_class_and_all_its_arguments_are_described(cls):
    assert persona_classes.docstring_of(cls).prose
    assert _undescribed(cls) == []


def _undescribed(cls):
    return [argument.name for argument in persona_classes.arguments_of(cls) if not argument.text]


def test_an_argument_that_is_not_described_is_found():
    class Base(BaseOperator):
        """What others share.

        :param told: is told of.
        """

        def __init__(self, *, told, untold=1, fixed=None, **kwargs):
            super().__init__(**kwargs)

    class PersonaForgottenOperator(Base):
        """Does something.

        :param own: its own.
        """

        def __init__(self, *, own, forgotten=None, **kwargs):
            super().__init__(fixed=True, **kwargs)

    Base.__module__ = PersonaForgottenOperator.__module__ = f"{persona_classes.PACKAGE}.operators.forgotten"
    found = {argument.name: argument for argument in persona_classes.arguments_of(PersonaForgottenOperator)}
    assert set(found) == {"own", "forgotten", "told", "untold"}  # `fixed` cannot be given
    assert _undescribed(PersonaForgottenOperator) == ["forgotten", "untold"]
    assert (found["own"].default, found["untold"].default) == (None, "1")


@pytest.mark.parametrize("floor", persona_classes.FLOORS)
def test_what_has_no_name_of_ours_only_serves_others(floor):
    """A class for Dags that is not called `Persona…` would be left out of the reference."""
    for module in persona_classes.modules(floor):
        left_out = set(persona_classes.all_classes_in(module)) - set(persona_classes.classes_in(module))
        for cls in left_out:
            assert any(issubclass(public, cls) for public in PUBLIC), f"{cls.__name__} is in nobody's reference"


def test_every_guide_is_there():
    titles = {page.stem: page.read_text("utf-8").splitlines()[0].removeprefix("# ") for page in _guides()}
    assert titles == GUIDES
    index = (DOCS / "index.md").read_text("utf-8")
    for name in GUIDES:
        assert f"[](guides/{name}.md)" in index or f"(guides/{name}.md)" in index


def _guides():
    return sorted((DOCS / "guides").glob("*.md"))


@pytest.mark.parametrize("page", [DOCS / "index.md", *_guides()], ids=lambda page: page.stem)
def test_what_a_page_names_exists(page):
    text = page.read_text("utf-8")
    for path in re.findall(r"\{py:class\}`~([\w.]+)`", text):
        module, _, name = path.rpartition(".")
        assert hasattr(importlib.import_module(module), name), path
    names = {cls.__name__ for cls in PUBLIC} | {"PersonaRetryPolicy"} | ERRORS
    for name in re.findall(r"`((?:Sql(?:To)?)?Persona[A-Z]\w+)`", text):
        assert name in names, name
    assert named_targets(text) <= make_targets()
    assert all(module_exists(name) for name in named_modules(text)), named_modules(text)


WIDTH = 80
"""Columns of code that a page shows without scrolling sideways."""


WIDE = {"approval"}
"""Pages whose code is still wider; let none come to it."""


@pytest.mark.parametrize("page", [each for each in _guides() if each.stem not in WIDE], ids=lambda page: page.stem)
def test_code_can_be_read_without_scrolling(page):
    blocks = re.findall(r"^```(?:python|sql|ini)\n(.*?)^```", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    assert [line for block in blocks for line in block.splitlines() if len(line) > WIDTH] == []


def test_scenarios_that_the_guides_send_to_exist():
    from benchmarks.scenarios import SCENARIOS

    text = re.sub(r"\s+", " ", "".join(page.read_text("utf-8") for page in _guides()))
    named = set(re.findall(r"--scenario (\w+)", text))
    assert named
    assert named <= set(SCENARIOS)
