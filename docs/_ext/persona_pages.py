# ruff: noqa: INP001
"""The pages of the reference, made from the catalogue of operations and from the modules of the package.

A class for one resource of Persona is on that resource's page, beside the operations. Any other class is on the page of
its module. An overview for each kind (operators, sensors, …) links to all of them.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import Enum
from functools import cache
from types import ModuleType
from typing import Final

import persona_classes

from airflow_provider_persona.api.answers import AnswerKind
from airflow_provider_persona.api.lifecycle import LIFECYCLES
from airflow_provider_persona.api.messages import API_PREFIX
from airflow_provider_persona.api.operations import Operation, catalogue

_ABOUT: Final = {
    "operators": "Tasks that change or read something.",
    "sensors": "Tasks that wait.",
    "triggers": "Waits that run in the triggerer. Sensors make their own; you make only the one for events yourself.",
    "transfers": "Tasks that move rows and files between Persona and databases or object stores.",
    "hooks": "Calls of Persona from your own code.",
    "decorators": "Functions as tasks.",
    "notifications": "Notices about runs.",
}
_MORE: Final = {
    "cases": ("/guides/bulk-update", "/guides/approval", "/guides/resume-and-audit"),
    "events": ("/guides/events",),
    "rate-limits": ("/guides/rate-limits",),
    "list-items": ("/reference/resources/lists", "/guides/any-operation-in-bulk"),
    "lists": ("/reference/resources/list-items",),
    "importers": ("/reference/resources/lists", "/reference/resources/accounts"),
}
_ANSWERS: Final = {
    AnswerKind.OBJECT: "one object",
    AnswerKind.COLLECTION: "a list of objects",
    AnswerKind.PLAIN: "JSON without `data`",
    AnswerKind.FILE: "a file",
}
_SPECIAL: Final = re.compile(r"([\\*_|])")
_WORDS: Final = {"api": "API", "oauth": "OAuth"}
_EXTRA: Final[Mapping[str, tuple[str, str, tuple[str, ...]]]] = {
    "retries-and-lineage": (
        "Retries, notices and assets",
        "What else Dags may name. :doc:`/guides/lineage-and-notices` explains it.",
        (
            "airflow_provider_persona.tasks.retry_policy.PersonaRetryPolicy",
            "airflow_provider_persona.notifications.runs.PersonaNotice",
        ),
    ),
    "ledger": (
        "Plan, ledger and report",
        "The records of a bulk run, as values. :doc:`/guides/resume-and-audit` explains them.",
        (
            "airflow_provider_persona.bulk.ledger.outcomes.RowOutcome",
            "airflow_provider_persona.bulk.ledger.outcomes.RowResult",
            "airflow_provider_persona.bulk.ledger.report.Report",
            "airflow_provider_persona.bulk.plan.file.PlanHeader",
            "airflow_provider_persona.bulk.ledger.table.LedgerTable",
        ),
    ),
    "simulator": (
        "The simulator",
        "A local Persona for tests. :doc:`/guides/testing` explains it.",
        tuple(
            f"persona_simulator.{name}"
            for name in (
                "SimulatorServer",
                "SimulatorControl",
                "SimulatorConfig",
                "SimulatorProcess",
                "ApiKey",
                "FaultKind",
                "Effect",
                "LoggedRequest",
            )
        ),
    ),
}


def pages() -> dict[str, str]:
    """Return every page of the reference as reStructuredText, by its name below `reference/`, without suffix."""
    made = {f"resources/{name}": _resource_page(name, list(found)) for name, found in _by_resource().items()}
    for floor in persona_classes.FLOORS:
        for module in persona_classes.modules(floor):
            own = [
                each for each in persona_classes.classes_in(module) if home_of(each) == _module_page(module.__name__)
            ]
            functions = _functions(module.__name__)
            if own or functions:
                made[_module_page(module.__name__)] = _module_page_text(module.__name__, own, functions)
        made[floor] = _overview(floor, made)
    made |= {name: _extra_page(*extra) for name, extra in _EXTRA.items()}
    made |= {"errors": _errors_page(), "connection": _connection_page()}
    made["resources/index"] = _resource_index()
    made["index"] = _index()
    return made


# ---------------------------------------------------------------------- which page has which class


@cache
def _by_resource() -> dict[str, tuple[Operation, ...]]:
    found: dict[str, list[Operation]] = defaultdict(list)
    for operation in catalogue().values():
        found[operation.resource].append(operation)
    return {name: tuple(found[name]) for name in sorted(found)}


def home_of(cls: type) -> str:
    """Return the page below `reference/` that shows a class."""
    resource = resource_of(cls)
    return f"resources/{resource}" if resource else _module_page(cls.__module__)


def resource_of(cls: type) -> str | None:
    """Return the resource that a class is for; None when it is for none, or for any."""
    called = operations_of(cls)
    if called:
        return called[0].resource
    floor, _, name = cls.__module__.removeprefix(f"{persona_classes.PACKAGE}.").partition(".")
    about = name.replace("_", "-")
    return about if floor in ("operators", "sensors", "triggers") and about in _by_resource() else None


def operations_of(cls: type) -> list[Operation]:
    """Return the operations that the attributes of a class name."""
    names = [
        getattr(cls, name, None) for name in ("operation_id", "set_operation", "add_operation", "remove_operation")
    ]
    lifecycle = LIFECYCLES.get(getattr(cls, "resource", None) or "")
    if lifecycle is not None:
        names.append(lifecycle.operation_id)
    return [catalogue()[name] for name in names if isinstance(name, str) and name in catalogue()]


def _module_page(module: str) -> str:
    return module.removeprefix(f"{persona_classes.PACKAGE}.").replace(".", "/")


def _functions(module: str) -> list[str]:
    """Return the decorators that a module defines."""
    if not module.startswith(f"{persona_classes.PACKAGE}.decorators."):
        return []
    found = vars(sys.modules[module]).items()
    return [name for name, each in found if inspect.isfunction(each) and each.__module__ == module and name[0] != "_"]


# ---------------------------------------------------------------------- pages


def _resource_page(name: str, operations: Sequence[Operation]) -> str:
    own = [each for each in persona_classes.public_classes() if home_of(each) == f"resources/{name}"]
    lines = [*_heading(_title(name), "="), *_resource_introduction(name)]
    lines += _links("See also", _MORE.get(name, ()))
    if own:
        lines += _heading("Operators, sensors and triggers", "-")
        modules = dict.fromkeys(sys.modules[each.__module__] for each in own)
        for module in modules:
            lines += _on_module(module, own)
        lines += _summary(own)
        lines += [line for each in own for line in _class(each)]
        lines += [line for module in modules for each in _enums(module) for line in _enum(each)]
    lines += _heading("Operations", "-")
    users = _users()
    lines += [line for operation in operations for line in _operation(operation, users.get(operation.operation_id, ()))]
    return _text(lines)


def _resource_introduction(name: str) -> Iterator[str]:
    yield (
        f"Operations of Persona's API on {_words(name)}. Every operation can be called by its id: once with "
        ":class:`~airflow_provider_persona.operators.operation.PersonaOperator`, or, if it writes, for each row of a "
        "query with :class:`~airflow_provider_persona.transfers.sql_to_persona.SqlToPersonaOperator`. Lists and "
        "searches go to files with "
        ":class:`~airflow_provider_persona.transfers.persona_to_object_storage.PersonaToObjectStorageOperator` and to "
        "tables with :class:`~airflow_provider_persona.transfers.persona_to_sql.PersonaToSqlOperator`."
    )
    yield ""


def _operation(operation: Operation, users: Iterable[type]) -> Iterator[str]:
    yield from _heading(operation.operation_id, "~")
    path = operation.path if operation.prefix == API_PREFIX else operation.prefix + operation.path
    yield from (f"``{operation.method} {path}``", "", _plain(operation.summary), "")
    facts = {
        "Required body keys": _codes(key.replace("|", "`` or ``") for key in operation.required),
        "Body keys": _codes(operation.body),
        "Required body keys that may be null": _codes(operation.nullable),
        "Required headers": _codes(operation.headers),
        "Required query": _codes(operation.required_query),
        "Query": _codes(operation.query),
        "Answer": f"{_ANSWERS[operation.answer]}{', in pages' if operation.paged else ''}; "
        f"status {', '.join(map(str, sorted(operation.success)))}",
        "When it is done twice": _twice(operation),
        "Secrets in the answer": _codes(operation.secrets),
        "Form-encoded": "Persona wants this body form-encoded." if operation.form else "",
        "In the specification since": operation.since or "",
        "Operators and sensors": ", ".join(f":class:`~{_path(each)}`" for each in users),
    }
    yield from (f":{name}: {value}" for name, value in facts.items() if value)
    yield ""
    for kind, text in (("note", operation.note), ("important", operation.restricted), ("warning", operation.withdrawn)):
        if text:
            yield from (f".. {kind}:: {_plain(text)}", "")


def _twice(operation: Operation) -> str:
    if operation.method == "GET":
        return ""
    if not operation.repeatable:
        return "it takes effect twice, so it is sent again under the same idempotency key only"
    if operation.appends:
        return f"the same as once, except with {_codes(operation.appends)}, which adds to the present values"
    return "the same as once"


def _module_page_text(module: str, own: Sequence[type], functions: Sequence[str]) -> str:
    lines = _heading(module.removeprefix(f"{persona_classes.PACKAGE}."), "=")
    lines += [f"Module ``{module}``.", "", *inspect.cleandoc(sys.modules[module].__doc__ or "").splitlines(), ""]
    lines += [line for each in functions for line in (f".. autofunction:: {module}.{each}", "")]
    lines += [line for each in own for line in _class(each)]
    return _text(lines)


def _class(cls: type) -> Iterator[str]:
    yield from _heading(cls.__name__, "~" if home_of(cls).startswith("resources/") else "-")
    yield from (f".. autoclass:: {_path(cls)}",)
    members = _members(cls)
    if members:
        yield f"   :members: {members}"
    yield ""


def _on_module(module: ModuleType, shown: Sequence[type]) -> list[str]:
    """Return a module's docstring, if all of its classes are shown and the docstring is more than a title."""
    text = inspect.cleandoc(module.__doc__ or "")
    is_whole = set(persona_classes.classes_in(module)) <= set(shown)
    return [*text.splitlines(), ""] if is_whole and "\n\n" in text else []


def _enums(module: ModuleType) -> list[type]:
    """Return the enumerations of a module. Their members are values of arguments."""
    own = [each for each in vars(module).values() if inspect.isclass(each) and each.__module__ == module.__name__]
    return [each for each in own if issubclass(each, Enum) and not each.__name__.startswith("_")]


def _enum(each: type) -> list[str]:
    return [*_heading(each.__name__, "~"), f".. autoclass:: {_path(each)}", "   :members:", "   :undoc-members:", ""]


def _members(cls: type) -> str:
    if cls.__module__.startswith(f"{persona_classes.PACKAGE}.hooks"):
        own = [name for name, each in vars(cls).items() if name[0] != "_" and callable(each) and each.__doc__]
        return ", ".join(own)
    executes = getattr(cls, "execute", None)
    return "execute" if getattr(executes, "__module__", "").startswith(f"{persona_classes.PACKAGE}.operators") else ""


def _overview(floor: str, made: Mapping[str, str]) -> str:
    found = [each for module in persona_classes.modules(floor) for each in persona_classes.classes_in(module)]
    lines = [*_heading(floor.capitalize(), "="), _ABOUT[floor], "", *_summary(found)]
    own = sorted(name for name in made if name.startswith(f"{floor}/"))
    return _text([*lines, *_toctree(own, hidden=True)])


def _summary(classes: Iterable[type]) -> Iterator[str]:
    yield from (".. list-table::", "   :widths: 45 55", "")
    for each in classes:
        yield from (f"   * - :class:`~{_path(each)}`", f"     - {persona_classes.first_sentence(each)}")
    yield ""


def _extra_page(title: str, about: str, paths: Sequence[str]) -> str:
    lines = [*_heading(title, "="), about, ""]
    for path in paths:
        lines += [*_heading(path.rpartition(".")[2], "-"), f".. autoclass:: {path}", "   :members:", ""]
    return _text(lines)


def _errors_page() -> str:
    import airflow_provider_persona.api.errors as of_calls
    import airflow_provider_persona.bulk.errors as of_runs

    lines = [*_heading("Errors", "="), "Calls and bulk runs raise these. An error never holds a body or a key.", ""]
    for module in (of_calls, of_runs):
        found = [each for each in vars(module).values() if inspect.isclass(each) and each.__module__ == module.__name__]
        for each in found:
            if issubclass(each, Exception):
                lines += [f".. autoexception:: {_path(each)}", "   :show-inheritance:", ""]
    return _text(lines)


def _connection_page() -> str:
    from airflow_provider_persona.get_provider_info import get_provider_info
    from airflow_provider_persona.hooks.form import FORM_FIELDS

    lines = _heading("Connection and configuration", "=")
    lines += ["A connection of type ``persona``. :doc:`/guides/first-connection` explains how to make one.", ""]
    fields = {
        "password": "The API key. It decides which environment answers.",
        "host": "Scheme and host; plain `http` for loopback only. Empty: `https://api.withpersona.com`.",
    }
    fields |= {f"extra {name}": str(field["description"]) for name, field in FORM_FIELDS.items()}
    lines += [*_heading("Fields", "-"), *_table(fields)]
    for section, found in get_provider_info()["config"].items():
        lines += _heading(f"Airflow's configuration, section [{section}]", "-")
        lines += _table({name: str(option["description"]) for name, option in found["options"].items()})
    return _text(lines)


def _resource_index() -> str:
    count = len(catalogue())
    about = (
        f"The {count} operations of Persona's API that the provider knows, by resource. Each page also has the "
        "operators and sensors for its resource. The catalogue is part of the package: "
        "``airflow_provider_persona.api.operations.catalogue()``."
    )
    table = {
        f":doc:`{_title(name)} <{name}>`": _count(len(found), "operation") for name, found in _by_resource().items()
    }
    lines = [*_heading("Persona's API by resource", "="), about, "", *_table(table, code=False)]
    return _text([*lines, *_toctree(_by_resource(), hidden=True)])


def _index() -> str:
    names = [*persona_classes.FLOORS, "resources/index", "connection", *_EXTRA, "errors"]
    about = "Made from the code when these pages are built."
    return _text([*_heading("Reference", "="), about, "", *_toctree(names)])


# ---------------------------------------------------------------------- reStructuredText


@cache
def _users() -> dict[str, list[type]]:
    found: dict[str, list[type]] = defaultdict(list)
    for cls in persona_classes.public_classes():
        for operation in operations_of(cls):
            found[operation.operation_id].append(cls)
    return found


def _path(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _words(resource: str) -> str:
    return " ".join(_WORDS.get(word, word) for word in resource.split("-"))


def _title(resource: str) -> str:
    words = _words(resource)
    return words[0].upper() + words[1:]


def _plain(text: str) -> str:
    """Return text in which reStructuredText sees no markup except the code between backticks."""
    parts = text.split("`")
    return "`".join(part if at % 2 else _SPECIAL.sub(r"\\\1", part) for at, part in enumerate(parts))


def _heading(title: str, line: str) -> list[str]:
    return [title, line * len(title), ""]


def _codes(texts: Iterable[str]) -> str:
    return ", ".join(f"``{text}``" for text in texts)


def _links(title: str, targets: Sequence[str]) -> list[str]:
    return [f"{title}: {', '.join(f':doc:`{target}`' for target in targets)}.", ""] if targets else []


def _table(rows: Mapping[str, str], *, code: bool = True) -> Iterator[str]:
    yield from (".. list-table::", "   :widths: 30 70", "")
    for name, text in rows.items():
        yield from (f"   * - {f'``{name}``' if code else name}", f"     - {_plain(text)}")
    yield ""


def _toctree(names: Iterable[str], *, hidden: bool = False) -> Iterator[str]:
    yield from (".. toctree::", *(["   :hidden:"] if hidden else ["   :maxdepth: 1"]), "")
    yield from (f"   {name}" for name in names)
    yield ""


def _text(lines: Iterable[str]) -> str:
    return "\n".join(lines)
