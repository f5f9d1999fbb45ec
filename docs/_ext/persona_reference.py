# ruff: noqa: INP001
"""The Sphinx extension behind the reference: writes its pages before a build, and completes what autodoc shows."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import persona_classes
import persona_pages
from sphinx.application import Sphinx

FOLDER = "reference"


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("builder-inited", write_pages)
    app.connect("autodoc-process-signature", show_all_arguments)
    app.connect("autodoc-process-docstring", describe_all_arguments)
    return {"version": "1", "parallel_read_safe": True}


def write_pages(app: Sphinx) -> None:
    """Write the pages of the reference; leave alone those that are right, and remove those that are no more."""
    folder = Path(app.srcdir) / FOLDER
    made = {folder / f"{name}.rst": text for name, text in persona_pages.pages().items()}
    for path, text in made.items():
        if not path.exists() or path.read_text("utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
    for path in set(folder.rglob("*.rst")) - set(made):
        path.unlink()


def show_all_arguments(*event: Any) -> tuple[str, str] | None:
    """Show the arguments of a class for Dags with those of its base classes (`autodoc-process-signature`)."""
    documented = event[3]
    if documented not in persona_classes.public_classes():
        return None
    shown = [
        argument.name if argument.default is None else f"{argument.name}={argument.default}"
        for argument in persona_classes.arguments_of(documented)
        if argument.default != "{}"
    ]
    return f"({', '.join(['*', *shown])})" if shown else "()", ""


def describe_all_arguments(*event: Any) -> None:
    """Describe the arguments of a class for Dags with those of its base classes (`autodoc-process-docstring`)."""
    documented, lines = event[3], event[5]
    if documented not in persona_classes.public_classes():
        return
    lines[:] = [*persona_classes.prose_of(documented), "", *_on_templates(documented)]
    for argument in persona_classes.arguments_of(documented):
        lines.append(f":param {argument.name}: {argument.text}")
        if argument.type:
            lines.append(f":type {argument.name}: {argument.type}")
    lines += [*persona_classes.docstring_of(documented).others, ""]


def _on_templates(cls: type) -> list[str]:
    from airflow_provider_persona.tasks.private_templates import PrivateTemplate

    names = [name.removeprefix("is_") for name in getattr(cls, "template_fields", ())]
    private = [name for name in names if isinstance(inspect.getattr_static(cls, name, None), PrivateTemplate)]
    if not names:
        return []
    text = f"Templates: {', '.join(f'``{name}``' for name in names)}."
    if private:
        text += f" Airflow does not keep what these render to: {', '.join(f'``{name}``' for name in private)}."
    return [text, ""]
