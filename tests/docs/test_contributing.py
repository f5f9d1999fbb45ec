"""CONTRIBUTING.md keeps its word: its commands, paths, links and settings exist."""

from __future__ import annotations

import re

import pytest

from tests.snippets import REPOSITORY, check_commands, make_targets, named_targets, snippets_of

PAGE = REPOSITORY / "CONTRIBUTING.md"
TEXT = PAGE.read_text("utf-8")


@pytest.mark.parametrize("snippet", snippets_of(PAGE), ids=str)
def test_every_command_exists(snippet):
    assert snippet.language == "shell"
    check_commands(snippet)


def test_make_has_every_command_that_is_named():
    named = named_targets(TEXT)
    assert named
    assert named <= make_targets()


def test_every_path_that_is_named_exists():
    prose = re.sub(r"(?ms)^ *```.*?^ *```$", "", TEXT)
    paths = [word for word in re.findall(r"`([^`\n]+)`", prose) if re.fullmatch(r"\.?[\w-]+/[\w./-]*", word)]
    assert len(paths) > 10
    assert [path for path in paths if not (REPOSITORY / path).exists()] == []


def test_every_link_leads_somewhere():
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", TEXT):
        file, _, heading = target.partition("#")
        assert (REPOSITORY / file).exists(), target
        if heading:
            titles = re.findall(r"^#+ (.+)$", (REPOSITORY / file).read_text("utf-8"), re.MULTILINE)
            assert heading in {title.lower().replace(" ", "-") for title in titles}, target


@pytest.mark.parametrize(
    ("name", "file"), [("UPPER_DATE", "Makefile"), ("DEFAULT_VERSION", "airflow_provider_persona/api/messages.py")]
)
def test_every_setting_that_is_named_is_there(name, file):
    assert name in TEXT
    assert re.search(rf"^{name} :?= ?", (REPOSITORY / file).read_text("utf-8"), re.MULTILINE)
