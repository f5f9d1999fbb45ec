"""The documentation is complete and sound: everything for Dags is described, and Sphinx builds it without a warning."""

from __future__ import annotations

import builtins
import importlib
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from airflow_provider_persona.api.operations import catalogue
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
BUILD_SECONDS = 100.0
"""How long a build may take on a busy machine before it counts as hung; by itself it takes some 15 s."""

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


# ---------------------------------------------------------------------- it builds


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The pages as Sphinx builds them, with warnings as errors, from a copy that others do not write to."""
    folder = tmp_path_factory.mktemp("documentation")
    shutil.copytree(DOCS, folder / "docs", ignore=shutil.ignore_patterns("_build", "reference", "__pycache__"))
    shutil.copytree(REPOSITORY / "dags", folder / "dags", ignore=shutil.ignore_patterns("__pycache__"))
    out = folder / "site"
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", str(folder / "docs"), str(out)],
        capture_output=True,
        text=True,
        timeout=BUILD_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="module")
def parsed(site):
    """Every page, parsed, by its path below the site."""
    from bs4 import BeautifulSoup

    pages = {
        path.relative_to(site): BeautifulSoup(path.read_text("utf-8"), "html.parser") for path in site.rglob("*.html")
    }
    assert len(pages) > len(GUIDES) + 30
    return pages


def test_every_class_is_shown_once_with_all_its_arguments(parsed):
    shown = {}
    for page, soup in parsed.items():
        for term in soup.select("dl.py.class > dt.sig, dl.py.exception > dt.sig"):
            if term.get("id"):
                assert term["id"] not in shown, f"{term['id']} stands on {page} and elsewhere"
                described = {
                    strong.get_text() for strong in term.find_next_sibling("dd").select("dl.field-list strong")
                }
                shown[term["id"]] = described
    for cls in PUBLIC:
        wanted = {argument.name for argument in persona_classes.arguments_of(cls)}
        assert wanted <= shown[f"{cls.__module__}.{cls.__qualname__}"], cls.__name__


def test_every_operation_has_its_place_on_the_page_of_its_resource(parsed):
    headings = Counter(
        (page.stem, heading.get_text().removesuffix("¶"))
        for page, soup in parsed.items()
        if page.parent == Path("reference/resources")
        for heading in soup.select("article h3")
    )
    for operation in catalogue().values():
        assert headings[operation.resource, operation.operation_id] == 1
    soup = parsed[Path("reference/resources/accounts.html")]
    added = soup.find(id="accounts-add-objects").get_text()
    assert catalogue()["accounts-add-objects"].withdrawn in re.sub(r"\s+", " ", added).replace("’", "'")


def test_every_link_between_pages_leads_somewhere(parsed, site):
    ids = {page: {each["id"] for each in soup.select("[id]")} for page, soup in parsed.items()}
    count = 0
    for page, soup in parsed.items():
        for link in soup.select("article a[href]"):
            parts = urlsplit(link["href"])
            if parts.scheme or parts.netloc:
                continue
            count += 1
            target = (
                (site / page.parent / unquote(parts.path)).resolve().relative_to(site.resolve()) if parts.path else page
            )
            assert (site / target).exists(), f"{page}: {link['href']}"
            if parts.fragment and target in ids:
                assert unquote(parts.fragment) in ids[target], f"{page}: {link['href']}"
    assert count > 300


def test_every_reference_to_a_class_of_ours_became_a_link(parsed):
    for page, soup in parsed.items():
        for reference in soup.select("article code.xref.py-class"):
            if hasattr(builtins, reference.get_text()):
                continue
            assert reference.find_parent("a") is not None, f"{page}: {reference.get_text()}"


def test_the_pages_name_no_place_of_the_machine_they_were_built_on(parsed, site):
    for page, soup in parsed.items():
        assert str(site.parent) not in soup.get_text(), page
        assert str(REPOSITORY) not in soup.get_text(), page
