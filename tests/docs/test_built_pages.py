"""The pages that `make docs` built are complete, and every link leads somewhere."""

from __future__ import annotations

import builtins
import re
from collections import Counter
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from airflow_provider_persona.api.operations import catalogue
from tests.docs.test_documentation import DOCS, GUIDES, PUBLIC, persona_classes
from tests.snippets import REPOSITORY

pytestmark = pytest.mark.docs
SITE = (DOCS / "_build" / "html").resolve()


@pytest.fixture(scope="module")
def parsed():
    """Every page, parsed, by its path below the site."""
    from bs4 import BeautifulSoup

    assert SITE.exists(), "there are no pages yet: run make docs, which builds them and runs these tests"
    pages = {
        path.relative_to(SITE): BeautifulSoup(path.read_text("utf-8"), "html.parser") for path in SITE.rglob("*.html")
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


def test_every_link_between_pages_leads_somewhere(parsed):
    ids = {page: {each["id"] for each in soup.select("[id]")} for page, soup in parsed.items()}
    count = 0
    for page, soup in parsed.items():
        for link in soup.select("article a[href]"):
            parts = urlsplit(link["href"])
            if parts.scheme or parts.netloc:
                continue
            count += 1
            target = (SITE / page.parent / unquote(parts.path)).resolve().relative_to(SITE) if parts.path else page
            assert (SITE / target).exists(), f"{page}: {link['href']}"
            if parts.fragment and target in ids:
                assert unquote(parts.fragment) in ids[target], f"{page}: {link['href']}"
    assert count > 300


def test_every_reference_to_a_class_of_ours_became_a_link(parsed):
    for page, soup in parsed.items():
        for reference in soup.select("article code.xref.py-class"):
            if hasattr(builtins, reference.get_text()):
                continue
            assert reference.find_parent("a") is not None, f"{page}: {reference.get_text()}"


def test_the_pages_name_no_place_of_the_machine_they_were_built_on(parsed):
    for page, soup in parsed.items():
        assert str(REPOSITORY) not in soup.get_text(), page
