"""Where Persona's published specification is: a file that is no part of this project.

Tests marked `contract` need it. They are left out where there is none.
"""

from __future__ import annotations

import json
import os
from functools import cache
from typing import Any

import pytest

from tools.contract_specification import BESIDE, SPECIFICATION, VARIABLE

__all__ = ["OPERATIONS", "SPECIFICATION", "document", "is_given"]

OPERATIONS = BESIDE / "operations.json"
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
