# ruff: noqa: INP001
"""How Sphinx builds these pages: `make docs`, or `python -m sphinx -W docs docs/_build/html`."""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
from pathlib import Path

if "AIRFLOW_HOME" not in os.environ:  # importing Airflow must leave nothing in the home of whoever builds the pages
    os.environ["AIRFLOW_HOME"] = _home = tempfile.mkdtemp(prefix="persona-docs-")
    atexit.register(shutil.rmtree, _home, ignore_errors=True)

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

from airflow_provider_persona import __version__

project = "airflow-provider-persona"
release = version = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx_copybutton", "sphinx_design", "persona_reference"]
exclude_patterns = ["_build"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
default_role = "code"  # the docstrings write code between single backticks
maximum_signature_line_length = 80
python_display_short_literal_types = True
html_theme = "furo"
html_title = f"{project} {release}"
html_copy_source = False
html_static_path = ["_static"]
html_logo = html_favicon = "_static/logo.svg"
html_css_files = ["persona.css"]
copybutton_exclude = ".linenos, .gp, .go"  # prompts and what a command prints are not copied
html_show_copyright = False
