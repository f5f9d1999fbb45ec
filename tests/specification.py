"""Where Persona's published specification is: a file that is no part of this project.

Tests marked `contract` need it. They are left out where there is none.
"""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path
from typing import Any

import pytest

VARIABLE = "PERSONA_SPECIFICATION"
_FOLDER = Path(__file__).resolve().parents[2] / "shared" / "api"
SPECIFICATION = Path(os.environ.get(VARIABLE) or _FOLDER / "persona-openapi-2025-12-08.json")
"""The file that the variable names; without the variable a copy beside the repository."""
OPERATIONS = _FOLDER / "operations.json"
"""A list of all operations, those too that Persona has withdrawn; beside the repository only."""


def is_given() -> bool:
    """Whether there is a specification.

    :raises pytest.UsageError: when the variable names a file that is not there.
    """
    if SPECIFICATION.is_file():
        return True
    if os.environ.get(VARIABLE):
        raise pytest.UsageError(f"{VARIABLE} names {SPECIFICATION}, which is not there")
    return False


@cache
def document() -> Any:
    """Return the specification."""
    return json.loads(SPECIFICATION.read_text("utf-8"))
