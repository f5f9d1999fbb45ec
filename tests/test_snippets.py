"""How snippets are found: every fence of a page is one, however it is written."""

from __future__ import annotations

import pytest

from tests.snippets import snippets_of


@pytest.mark.parametrize(
    ("page", "found"),
    [
        ("```python\nx\n```\n", [("python", "x\n")]),
        ("```\nx\n```\n", [("", "x\n")]),
        ("~~~python\nx\n~~~\n", [("python", "x\n")]),
        ("````python\n```\nx\n```\n````\n", [("python", "```\nx\n```\n")]),
        ("```python title=a\nx\n```\n", [("python", "x\n")]),
        ("``` python\nx\n```\n", [("python", "x\n")]),
        ("```{code-block} python\nx\n```\n", [("python", "x\n")]),
        ("```{note}\nx\n```\n", [("{note}", "x\n")]),
        ("```Python\nx\n```\n", [("Python", "x\n")]),
        ("1. One\n\n   ```shell\n   x\n   ```\n\n~~~\ny\n~~~\n", [("shell", "x\n"), ("", "y\n")]),
        ("```python\nx\n~~~\n```\n", [("python", "x\n~~~\n")]),
        ("`code` and ```code``` in a line\n", []),
    ],
)
def test_every_fence_begins_a_snippet(tmp_path, page, found):
    file = tmp_path / "page.md"
    file.write_text(page, "utf-8")
    assert [(snippet.language, snippet.text) for snippet in snippets_of(file)] == found


@pytest.mark.parametrize(
    ("page", "said"),
    [
        ("# One\n\n```python\nx\n", "page.md:3: this fence has no end"),
        ("- ```python\n  x\n  ```\n", "page.md:1: a fence begins a line of its own"),
        ("> ```python\n> x\n> ```\n", "page.md:1: a fence begins a line of its own"),
    ],
)
def test_a_fence_that_cannot_be_followed_is_told_of(tmp_path, page, said):
    file = tmp_path / "page.md"
    file.write_text(page, "utf-8")
    with pytest.raises(AssertionError, match=said):
        snippets_of(file)


def test_a_snippet_knows_its_line(tmp_path):
    file = tmp_path / "page.md"
    file.write_text("# One\n\n```python\nx\n```\n", "utf-8")
    assert [snippet.line for snippet in snippets_of(file)] == [4]
