"""Snippets of Markdown pages, and how they are tried out: what the README and the guides show must work."""

from __future__ import annotations

import configparser
import importlib.util
import json
import re
import shlex
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[1]

_FENCE = re.compile(r"^(?P<before>[ \t>*+-]*(?:\d+[.)][ \t]+)?)(?P<fence>`{3,}|~{3,})(?P<kind>[^`\n]*)$")
_ASSIGNMENT = re.compile(r"^\w+=")


@dataclass(frozen=True)
class Snippet:
    """A block of code in a page.

    :param page: the page.
    :param line: line of the page on which its code begins.
    :param language: what the page says it is, without attributes; empty when it says nothing. `{note}` and the like
        are directives, of which `{code-block} python` counts as `python`.
    :param text: the code.
    """

    page: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.stem}:{self.line}"

    @property
    def is_dag(self) -> bool:
        """Whether it is the file of a Dag."""
        return "with DAG(" in self.text

    def replaced(self, old: str, new: str) -> Snippet:
        """Return it with other text in place of what cannot be reached from here."""
        return Snippet(self.page, self.line, self.language, self.text.replace(old, new))


def snippets_of(page: Path, language: str | None = None) -> list[Snippet]:
    """Return the blocks of code in a page: all that a fence begins, whatever its marks."""
    lines = page.read_text("utf-8").splitlines(keepends=True)
    found: list[Snippet] = []
    number = 0
    while number < len(lines):
        opened = _FENCE.match(lines[number].rstrip("\n"))
        number += 1
        if opened is None:
            continue
        assert not opened["before"].strip(), f"{page.name}:{number}: a fence begins a line of its own"
        length = next((at for at, line in enumerate(lines[number:]) if _closes(line, opened["fence"])), None)
        assert length is not None, f"{page.name}:{number}: this fence has no end"
        text = textwrap.dedent("".join(lines[number : number + length]))
        found.append(Snippet(page, number + 1, _language(opened["kind"]), text))
        number += length + 1
    return [snippet for snippet in found if language in (None, snippet.language)]


def _closes(line: str, fence: str) -> bool:
    """Whether a line ends a block: as many marks of the same kind as began it, or more, and nothing else."""
    marks = line.strip()
    return len(marks) >= len(fence) and set(marks) == {fence[0]}


def _language(kind: str) -> str:
    words = kind.split()
    if words[:1] == ["{code-block}"] and len(words) > 1:
        del words[0]
    return words[0] if words else ""


def dag_of(snippet: Snippet, folder: Path) -> Any:
    """Return the Dag of a snippet, read from a file as Airflow reads it."""
    from airflow_provider_persona.version_compat import AIRFLOW_V_3_2_PLUS

    if AIRFLOW_V_3_2_PLUS:
        from airflow.dag_processing.dagbag import DagBag
    else:
        from airflow.models.dagbag import DagBag
    file = folder / f"{snippet.page.stem.replace('-', '_')}_{snippet.line}.py"
    file.write_text(snippet.text, "utf-8")
    bag = DagBag(str(file))
    assert not bag.import_errors, bag.import_errors
    (dag,) = bag.dags.values()
    return dag


def run_as_script(snippet: Snippet) -> None:
    """Execute a snippet that is no Dag."""
    place = "\n" * (snippet.line - 1)  # so that a traceback names the page's own lines
    exec(compile(place + snippet.text, str(snippet.page), "exec"), {"__name__": "snippet"})


# ---------------------------------------------------------------------- what a shell would be told


def make_targets() -> set[str]:
    """Return the targets of the Makefile."""
    return set(re.findall(r"^([a-z0-9-]+):", (REPOSITORY / "Makefile").read_text("utf-8"), re.MULTILINE))


def named_targets(text: str) -> set[str]:
    """Return the targets that a page names in its prose."""
    return set(re.findall(r"`make ([a-z0-9-]+)", text))


def named_modules(text: str) -> set[str]:
    """Return the modules that a page tells to run in its prose; a line of prose may break within."""
    return set(re.findall(r"`python -m ([\w.]+)", re.sub(r"\s+", " ", text)))


def check_commands(snippet: Snippet) -> None:
    """Make sure that every command of a shell snippet exists, as far as that can be told without running it."""
    lines = snippet.text.replace("\\\n", " ").splitlines()
    commands = [shlex.split(line, comments=True) for line in lines]
    assert any(commands), f"{snippet} has no command"
    for words in filter(None, commands):
        check = _CHECKS.get(words[0])
        assert check is not None, f"{snippet}: nobody here knows the command {words[0]}"
        check(words[1:])


def check_configuration(snippet: Snippet) -> None:
    """Make sure that every option of a snippet of Airflow's configuration exists."""
    parser = configparser.ConfigParser()
    parser.read_string(snippet.text)
    assert parser.sections()
    for section in parser.sections():
        for option in parser.options(section):
            _check_option(section, option)


def module_exists(name: str) -> bool:
    """Whether a module or package can be imported."""
    return importlib.util.find_spec(name) is not None


def _check_make(words: list[str]) -> None:
    assert words[0] in make_targets(), f"make has no target {words[0]}"


def _check_python(words: list[str]) -> None:
    if words[0] != "-m":
        assert (REPOSITORY / words[0]).is_file(), words[0]
        return
    assert module_exists(words[1]), words[1]
    if words[1] == "persona_simulator":
        from persona_simulator.__main__ import _parser

        _parser().parse_args(words[2:])
    if words[1] == "benchmarks":
        from benchmarks.__main__ import _parser as of_benchmarks

        of_benchmarks().parse_args(words[2:])


def _check_airflow(words: list[str]) -> None:
    from airflow.cli.cli_parser import get_parser

    get_parser().parse_args(words)


def _check_pip(words: list[str]) -> None:
    setup = configparser.ConfigParser()
    setup.read(REPOSITORY / "setup.cfg")
    assert words[0] == "install"
    for word in words[1:]:
        name, _, extras = word.rstrip("]").partition("[")
        assert name == setup["metadata"]["name"]
        assert set(filter(None, extras.split(","))) <= set(setup["options.extras_require"])


def _check_export(words: list[str]) -> None:
    for word in words:
        assert _ASSIGNMENT.match(word), word
        name, _, value = word.partition("=")
        if name.startswith("AIRFLOW_CONN_"):
            assert json.loads(value)["conn_type"] == "persona"
        elif name.startswith("AIRFLOW__"):
            _, section, option = name.lower().split("__")
            _check_option(section, option)
        else:
            assert name == "AIRFLOW_HOME", name


def _check_option(section: str, option: str) -> None:
    from airflow_provider_persona.get_provider_info import get_provider_info
    from airflow_provider_persona.version_compat import conf

    ours = get_provider_info()["config"]
    known = ours[section]["options"] if section in ours else conf.getsection(section)
    assert option in known, f"there is no option {option} in [{section}]"


_CHECKS: dict[str, Callable[[list[str]], None]] = {
    "airflow": _check_airflow,
    "export": _check_export,
    "make": _check_make,
    "pip": _check_pip,
    "python": _check_python,
}
