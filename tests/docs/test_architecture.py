"""The page about the architecture tells the truth: its arrows are those that are held, and what it names is there."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pytest

from tests.snippets import REPOSITORY, snippets_of
from tests.test_floors import MAY_KNOW, PACKAGE

PAGE = REPOSITORY / "docs" / "architecture.md"
TEXT = PAGE.read_text("utf-8")
VERSIONS = "version_compat"
LINKS = "links"
"""What floors 4 to 6, and 5 to 6, may import besides; the page says it in a sentence."""


def _table(heading: str) -> list[list[str]]:
    """Return the rows of the table below a heading, without its own heading."""
    section = TEXT.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines[2:]]


def _named(text: str) -> list[str]:
    return re.findall(r"(?<!`)`([^`\n]+)`(?!`)", text)


FLOORS = {cells[0].strip("`/"): int(cells[1]) for cells in _table("The floors")}
ARROWS = {cells[0].strip("`/"): set(_named(cells[3])) for cells in _table("The floors")}


def _reached(folder: str, arrows: Mapping[str, set[str]]) -> set[str]:
    """Return the folder, and all to which arrows lead from it."""
    return {folder}.union(*(_reached(target, arrows) for target in arrows[folder]))


def test_every_folder_has_a_row():
    assert set(FLOORS) == {name for name in MAY_KNOW if (PACKAGE / name).is_dir()}
    folders = [path.parent for path in PACKAGE.glob("*/__init__.py")]
    assert set(FLOORS) == {each.name for each in folders if not each.is_symlink()}  # example_dags is the folder dags/


@pytest.mark.parametrize("folder", FLOORS)
def test_the_arrows_are_those_that_are_held(folder):
    assert _reached(folder, ARROWS) == MAY_KNOW[folder] - {VERSIONS, LINKS}
    assert (VERSIONS in MAY_KNOW[folder]) is (FLOORS[folder] >= 4)
    assert LINKS not in MAY_KNOW[folder] or FLOORS[folder] >= 5


@pytest.mark.parametrize("folder", FLOORS)
def test_no_arrow_goes_up(folder):
    assert all(FLOORS[target] <= FLOORS[folder] for target in ARROWS[folder])


def test_the_picture_has_every_folder_on_its_floor():
    (picture,) = snippets_of(PAGE, "text")
    drawn = {}
    for line in picture.text.splitlines():
        if found := re.match(r"floor (\d)", line.strip()):
            drawn |= dict.fromkeys(re.findall(r"[a-z]+", line.strip().removeprefix(found[0])), int(found[1]))
    assert drawn == FLOORS
    across = {
        (here, target) for here, targets in ARROWS.items() for target in targets if FLOORS[here] == FLOORS[target]
    }
    assert set(re.findall(r"(\w+) ──> (\w+)", picture.text)) == across


def test_every_path_that_is_named_exists():
    paths = [word.split()[1] if word.startswith("python ") else word for word in _named(TEXT)]
    found = [path for path in paths if re.fullmatch(r"[\w./]+(/|\.(py|md|json|toml))", path)]
    assert len(found) > 30
    missing = [path for path in found if not any((root / path).exists() for root in (REPOSITORY, PACKAGE))]
    assert missing == []


@pytest.mark.parametrize("cells", _table("The way of a row"), ids=lambda cells: cells[0])
def test_what_works_on_a_row_is_defined_where_the_page_says(cells):
    file, happens, _ = cells
    source = (PACKAGE / file.strip("`")).read_text("utf-8")
    (name,) = [word for word in _named(happens) if re.fullmatch(r"[A-Z]\w+|[a-z]+_\w+", word) and "conn" not in word]
    assert re.search(rf"^(class|def|async def) {name}\b", source, re.MULTILINE), f"{file} defines no {name}"


def test_every_name_beside_a_path_is_in_that_file():
    """`LIFECYCLES` in `api/lifecycle.py`."""
    pairs = re.findall(r"`(\w+)`(?:,? or `\w+`)? in `([\w./]+\.py)`", TEXT)
    pairs += [(name, path) for path, name in re.findall(r"`([\w./]+\.py)`, `(\w+)`", TEXT)]
    assert len(pairs) > 5
    for name, path in pairs:
        file = next(root / path for root in (REPOSITORY, PACKAGE) if (root / path).exists())
        assert re.search(rf"\b{name}\b", file.read_text("utf-8")), f"{path} has no {name}"


@pytest.mark.parametrize("cells", _table("Where do I add …"), ids=lambda cells: cells[0])
def test_a_question_has_an_answer(cells):
    """The second column names a place."""
    places = {word for word in _named(cells[1]) if word.endswith((".py", "/"))}
    assert places or "make_operations.py" in cells[1], cells[0]
