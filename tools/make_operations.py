"""Make the catalogue of operations, `airflow_provider_persona/api/operations.json`, from its two sources.

One source is Persona's OpenAPI file, which is not part of this project. The other is `operation_notes.toml`: what that
file does not say. Nothing else goes into the catalogue, so a new version of Persona's API is one command and a review
of what it prints:

    python tools/make_operations.py --spec openapi.json          # write the catalogue
    python tools/make_operations.py --spec openapi.json --check  # write nothing; exit 1 when anything is open
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from published_operations import DEFAULTS, REPEATABLE_BY_METHOD, Entry, SourceError, Specification

CATALOGUE: Final = Path(__file__).resolve().parents[1] / "airflow_provider_persona" / "api" / "operations.json"
NOTES: Final = Path(__file__).with_name("operation_notes.toml")

_ONLY_WHEN_SET: Final = (
    "prefix",
    "required_query",
    "nullable",
    "headers",
    "appends",
    "secrets",
    "multipart",
    "form",
    "restricted",
    "note",
)
"""Keys that a line leaves out when they say nothing."""
_ALWAYS_OURS: Final = ("summary", "since")
"""What the note of every operation says: our sentence, and the first date at which Persona published the operation."""
_UNPUBLISHED_NEEDS: Final = ("resource", "method", "path", "withdrawn")
"""What a note says besides when the specification does not have the operation."""
_CORRECTIONS: Final = ("whole", "needs")
"""Keys of a note that correct what is read from the specification instead of replacing it."""
_DATE: Final = re.compile(r"\d{4}(-\d\d-\d\d)?")


@dataclass(frozen=True)
class Notes:
    """What `operation_notes.toml` holds.

    :param resources: our name of a resource by Persona's tag, where it is not the tag in kebab-case.
    :param phrases: texts that several notes share; a note that says `@name` says the phrase of that name.
    :param operations: the note of each operation by id, in the order in which the catalogue lists them.
    """

    resources: Mapping[str, str]
    phrases: Mapping[str, str]
    operations: Mapping[str, Entry]

    @classmethod
    def read(cls, path: Path) -> Notes:
        """Read and check the notes.

        :raises SourceError: when the file is no TOML, or a note has an unknown key or a value of the wrong kind.
        """
        try:
            found = tomllib.loads(path.read_text("utf-8"))
        except tomllib.TOMLDecodeError as error:
            raise SourceError(f"{path.name} is no TOML: {error}") from None
        operations = found.get("operations", {})
        for operation_id, note in operations.items():
            for key, value in note.items():
                _check_note(f"the note of {operation_id}", key, value)
        return cls(found.get("resources", {}), found.get("phrases", {}), operations)

    def of(self, operation_id: str) -> Entry:
        """Return an operation's note with phrases in place of their names."""
        return {key: self._spelt_out(value) for key, value in self.operations.get(operation_id, {}).items()}

    def resource(self, tag: str) -> str:
        """Return our name of a resource that has a tag of Persona's."""
        return self.resources.get(tag) or _kebab(tag)

    def unused(self, published: Mapping[str, Entry]) -> list[str]:
        """Return the resources and phrases that change nothing."""
        tags = {entry["resource"] for entry in published.values()}
        said = {value for note in self.operations.values() for value in note.values() if isinstance(value, str)}
        idle = [tag for tag, name in self.resources.items() if tag not in tags or name == _kebab(tag)]
        return [f"resources: {tag}" for tag in idle] + [
            f"phrases: {name}" for name in self.phrases if f"@{name}" not in said
        ]

    def _spelt_out(self, value: Any) -> Any:
        if not isinstance(value, str) or not value.startswith("@"):
            return value
        if value[1:] not in self.phrases:
            raise SourceError(f"the notes have no phrase {value}")
        return self.phrases[value[1:]]


def _check_note(where: str, key: str, value: Any) -> None:
    if key == "id" or (key not in DEFAULTS and key not in _CORRECTIONS):
        raise SourceError(f"{where} has an unknown key {key}")
    example = [] if key in _CORRECTIONS else DEFAULTS[key]
    wanted = str if example is None else type(example)
    if type(value) is not wanted or value == "":
        raise SourceError(f"{where} says {key} = {json.dumps(value)}; a {wanted.__name__} is wanted")
    if key == "since" and not _DATE.fullmatch(str(value)):
        raise SourceError(f"{where} says since = {value}; a date is wanted")


def _kebab(tag: str) -> str:
    return tag.lower().replace(" ", "-")


# --- the catalogue ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Made:
    """The catalogue that the two sources make, and what in the notes is open.

    :param entries: the operations, in the catalogue's order.
    :param unnoted: published operations without a note, or without the keys that every note has.
    :param vanished: operations that the specification does not have and the notes do not describe.
    :param superfluous: notes that change nothing.
    """

    entries: Sequence[Entry]
    unnoted: Sequence[str]
    vanished: Sequence[str]
    superfluous: Sequence[str]

    def text(self) -> str:
        """Return the file's text: one operation a line, so that a review sees an operation as one changed line."""
        lines = [
            {key: value for key, value in entry.items() if value or key not in _ONLY_WHEN_SET} for entry in self.entries
        ]
        return "[\n" + ",\n".join(json.dumps(line, ensure_ascii=False) for line in lines) + "\n]\n"


def make(specification: Specification, notes: Notes) -> Made:
    """Make the catalogue.

    :raises SourceError: when a source cannot be used.
    """
    published = specification.operations()
    superfluous = notes.unused(published)
    vanished = [each for each, note in notes.operations.items() if each not in published and _lacks(note)]
    entries = []
    for operation_id in [*notes.operations, *(each for each in published if each not in notes.operations)]:
        if operation_id in vanished:
            continue
        entry, idle = _noted(operation_id, published.get(operation_id), notes)
        entries.append(entry)
        superfluous += [f"{operation_id}: {key}" for key in idle]
    unnoted = [each for each in published if not all(key in notes.operations.get(each, ()) for key in _ALWAYS_OURS)]
    # An operation without a note comes last; it belongs behind the others of its resource.
    resources = list(dict.fromkeys(entry["resource"] for entry in entries))
    entries.sort(key=lambda entry: resources.index(entry["resource"]))
    return Made(entries, unnoted, vanished, superfluous)


def _lacks(note: Entry) -> list[str]:
    """Return what a note must still say when the specification does not have its operation."""
    return [key for key in (*_ALWAYS_OURS, *_UNPUBLISHED_NEEDS) if key not in note]


def _noted(operation_id: str, published: Entry | None, notes: Notes) -> tuple[Entry, list[str]]:
    """Return an operation with its note applied, and the keys of the note that change nothing."""
    note = notes.of(operation_id)
    if published is None:
        entry = DEFAULTS | {"id": operation_id, "repeatable": note["method"] in REPEATABLE_BY_METHOD}
    else:
        entry = published | {"resource": notes.resource(published["resource"])}
    idle = [key for key, value in note.items() if key not in _CORRECTIONS and value == entry[key]]
    if published is not None and "withdrawn" in note:
        idle.append("withdrawn")
    entry |= {key: value for key, value in note.items() if key not in _CORRECTIONS and key not in idle}
    for whole in note.get("whole", ()):
        closed = _closed(entry["body"], whole)
        idle += [f"whole {whole}"] if closed == entry["body"] else []
        # What is not looked into is not required piece by piece either.
        required = [key for key in entry["required"] if not _is_below(key, whole)]
        entry |= {"body": closed, "required": required}
    for needed in note.get("needs", ()):
        idle += [f"needs {needed}"] if needed in entry["required"] else []
        above = [key for key in entry["required"] if any(_is_below(each, key) for each in needed.split("|"))]
        entry["required"] = [key for key in entry["required"] if key not in (*above, needed)] + [needed]
    return entry, idle


def _closed(keys: Sequence[str], whole: str) -> list[str]:
    """Return body keys with those below one mapping replaced by the mapping."""
    return list(
        dict.fromkeys(whole if _is_below(key, whole) or key == whole.removesuffix(".*") else key for key in keys)
    )


def _is_below(key: str, above: str) -> bool:
    return key.startswith(above.removesuffix(".*") + ".")


# --- the review -------------------------------------------------------------------------------------------------------


def differences(old: Iterable[Entry], new: Iterable[Entry]) -> list[str]:
    """Return a line for each operation that two catalogues do not have alike."""
    before, after = ({each["id"]: DEFAULTS | each for each in entries} for entries in (old, new))
    lines = [f"{each}: only in the file" for each in before if each not in after]
    lines += [f"{each}: not in the file" for each in after if each not in before]
    for operation_id in after.keys() & before.keys():
        was, now = before[operation_id], after[operation_id]
        changed = [_change(key, was[key], now[key]) for key in DEFAULTS if was[key] != now[key]]
        lines += [f"{operation_id}: {'; '.join(changed)}"] if changed else []
    return sorted(lines)


def _change(key: str, was: Any, now: Any) -> str:
    if not isinstance(was, list) or not isinstance(now, list):
        return f"{key} {json.dumps(was)} -> {json.dumps(now)}"
    pieces = [f"-{each}" for each in was if each not in now] + [f"+{each}" for each in now if each not in was]
    return f"{key} {' '.join(pieces) or 'in another order'}"


def _note_of_vanished(entry: Entry, note: Entry) -> str:
    """Return what the note of an operation must say from now on, as TOML."""
    usual = DEFAULTS | {"id": entry["id"], "repeatable": entry["method"] in REPEATABLE_BY_METHOD}
    wanted = {key: value for key, value in entry.items() if key not in note and value != usual[key]}
    lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in wanted.items()]
    return "\n    ".join([f"    [operations.{entry['id']}]", *lines, 'withdrawn = "…"'])


def review(made: Made, notes: Notes, shipped: Sequence[Entry]) -> str:
    """Return what a reviewer must look at, under one heading for each kind; empty when there is nothing."""
    by_id = {each["id"]: each for each in [*shipped, *made.entries]}
    known = {each["id"] for each in shipped}
    unnoted = [f"{each}: {by_id[each]['method']} {by_id[each]['path']}" for each in made.unnoted]
    vanished = [
        _note_of_vanished(by_id[each], notes.operations[each])
        if each in known
        else f"{each}: its note lacks {', '.join(_lacks(notes.operations[each]))}"
        for each in made.vanished
    ]
    changed = [each for each in differences(shipped, made.entries) if each.partition(":")[0] not in made.vanished]
    parts = {
        "New operations without a note. Write one (summary, since), and say whether a repeat is harmless (repeatable), "
        "which answers hold secrets, which body keys add to what is there (appends), what is required (needs)": unnoted,
        "Operations that are not, or no longer, in the specification. Add these lines to their notes, and say in "
        "`withdrawn` when they were there and what a caller meets": vanished,
        "Notes that say what the specification says, or that nothing uses. Delete them": made.superfluous,
        "Differences between the file and what its sources make (-: the file has it, +: the sources have it)": changed,
    }
    blocks = [f"{title}:\n" + "\n".join(_indented(each) for each in lines) for title, lines in parts.items() if lines]
    return "\n\n".join(blocks)


def _indented(line: str) -> str:
    return line if line.startswith("    ") else f"    {line}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status: 1 when something is open, 2 when a source cannot be used."""
    parser = argparse.ArgumentParser(description="Make the catalogue of Persona's operations from its sources.")
    parser.add_argument("--spec", type=Path, required=True, help="Persona's OpenAPI file (JSON)")
    parser.add_argument("--notes", type=Path, default=NOTES, help="our notes (default: beside this script)")
    parser.add_argument("--output", type=Path, default=CATALOGUE, help="the catalogue (default: the package's)")
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit 1 when the file or a note is not right"
    )
    options = parser.parse_args(arguments)
    try:
        notes = Notes.read(options.notes)
        made = make(Specification(json.loads(options.spec.read_text("utf-8"))), notes)
    except (SourceError, OSError, json.JSONDecodeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    text = options.output.read_text("utf-8") if options.output.exists() else "[]"
    same = text == made.text()
    found = review(made, notes, json.loads(text))
    if not found and not same:
        found = "The operations are the same; their order or the file's format is not."
    if found:
        print(found, end="\n\n")
    if made.vanished:
        print("Nothing was written: the notes do not describe the operations that the specification lacks.")
        return 1
    if options.check:
        print(f"{options.output.name}: {'open' if found else 'as its sources make it'}, {len(made.entries)} operations")
        return 1 if found else 0
    options.output.write_text(made.text(), "utf-8")
    print(f"{options.output.name}: {'unchanged' if same else 'written'}, {len(made.entries)} operations")
    return 0


if __name__ == "__main__":
    sys.exit(main())
