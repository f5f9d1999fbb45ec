"""Whether there is a copy of Persona's specification that `make contract` can use; asked before anything is installed.

It needs Python's standard library only. A file that is no specification would be told late, by a tester's own words.

    PERSONA_SPECIFICATION=path python tools/contract_specification.py
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Final

VARIABLE: Final = "PERSONA_SPECIFICATION"
BESIDE: Final = Path(__file__).resolve().parents[2] / "shared" / "api"
"""Where the project's own machines have a copy: beside the repository."""
SPECIFICATION: Final = Path(os.environ.get(VARIABLE) or BESIDE / "persona-openapi-2025-12-08.json")
"""The file that the variable names; without the variable a copy beside the repository."""
_WHERE: Final = """\
Persona publishes it under Apache-2.0 at https://github.com/persona-id/persona-openapi, a folder for each version.
Bundle 2025-12-08/openapi.yaml into one JSON file, and give it: make contract SPEC=path/to/openapi.json"""


def fault() -> str | None:
    """Return why the specification cannot be used and where Persona publishes it, or None when it can."""
    wrong = _wrong_with(SPECIFICATION)
    if wrong is None:
        return None
    said = f"{SPECIFICATION} {wrong}" if os.environ.get(VARIABLE) else "make contract needs Persona's specification"
    return f"{said}.\n{_WHERE}"


def _wrong_with(path: Path) -> str | None:
    if not path.exists():
        return "is not there"
    if not path.is_file():
        return "is not a file"
    try:
        document = json.loads(path.read_bytes())
    except ValueError:
        return "is not JSON"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    if not isinstance(document, dict) or not {"openapi", "paths"} <= document.keys():
        return "is JSON, but no OpenAPI specification: it lacks `openapi` or `paths`"
    return None


if __name__ == "__main__":
    if said := fault():
        print(said, file=sys.stderr)
    sys.exit(2 if said else 0)
