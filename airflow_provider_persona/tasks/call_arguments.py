"""Where the arguments of operators that call Persona go in the call.

    class PersonaTagThingOperator(PersonaCallOperator):
        operation_id = "tag-a-thing"
        thing_id: Text = path("thing-id", "the thing (`th_…`).")
        tags: Names | None = body("data.attributes.tags", "names of tags.", default=None)
        note: Text | None = attribute("a note, for people.", default=None, private=True)

Readers turn rendered text back into values, by the type of the argument. Type checkers know the arguments too (PEP
681). An argument that is None is left out of the call.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar, dataclass_transform

from airflow_provider_persona.tasks.arguments import as_confirmation
from airflow_provider_persona.tasks.call_checks import NotYetKnown
from airflow_provider_persona.tasks.declared_arguments import (
    OF_ITS_NAME,
    REQUIRED,
    Argument,
    TakesArguments,
    argument,
)
from airflow_provider_persona.tasks.private_templates import PrivateTemplate

T = TypeVar("T")


def path(parameter: str, doc: str, *, default: Any = REQUIRED) -> Any:
    """Declare the value of a path parameter.

    :param parameter: the parameter in the operation's path, like `case-id`.
    :param doc: what it is, for the docstring.
    :param default: its default; without one it must be given.
    """
    return Argument(doc, default, path=parameter)


def body(place: str, doc: str, *, default: Any = REQUIRED, private: bool = False) -> Any:
    """Declare the value of a body key.

    :param place: the dotted key, like `data.attributes.tags`. A value is merged into the mapping that another argument
        gives for a key above it.
    :param doc: what it is, for the docstring.
    :param default: its default; without one it must be given.
    :param private: whether Airflow must not keep what its template renders to, because it may be personal data.
    """
    return Argument(doc, default, body=place, template=PrivateTemplate if private else None)


def attribute(doc: str, *, default: Any = REQUIRED, private: bool = False) -> Any:
    """Declare the value of the attribute that has the argument's name: `body` for `data.attributes.<name>`.

    Parameters as for `body`.
    """
    return body(OF_ITS_NAME, doc, default=default, private=private)


def part(
    name: str,
    doc: str,
    *,
    default: Any = REQUIRED,
    is_template: bool = True,
    template: type[PrivateTemplate] | None = None,
) -> Any:
    """Declare a whole part of the call.

    :param name: the part, which is a name of `Call`'s parameters.
    :param doc: what it is, for the docstring.
    :param default: its default; without one it must be given.
    :param is_template: whether it is a template field.
    :param template: descriptor that conceals its rendered value.
    """
    return Argument(doc, default, is_template, template, part=name)


def confirmation() -> Any:
    """Declare the argument that confirms what cannot be undone. It must stand in the Dag, and be True."""
    return argument("must be True, since it cannot be undone.", is_template=False, reader=as_confirmation)


def given_to_airflow(*, default: Any = None) -> Any:
    """Declare, for type checkers only, an argument that Airflow's `BaseOperator` takes."""


@dataclass_transform(
    kw_only_default=True,
    eq_default=False,
    field_specifiers=(path, body, attribute, part, argument, confirmation, given_to_airflow),
)
class DeclaresArguments(TakesArguments):
    """Makes operators for which type checkers know each argument, since the class bodies declare all of them."""

    def __call__(cls: type[T], *args: Any, **kwargs: Any) -> T:  # noqa: N805 - a metaclass
        """Make an operator, and check it, unless Airflow makes it of a mapped one.

        That is when its task runs. An error here would then count as one that a retry may mend, so `execute` checks
        such an operator (`check_once`), and fails for good.
        """
        made: Any = type.__call__(cls, *args, **kwargs)
        if not kwargs.get("_airflow_from_mapped"):
            check_once(made)
        return made  # type: ignore[no-any-return]


def check_once(operator: Any) -> None:
    """Check the arguments of an operator, unless that was done when its Dag was parsed."""
    if not getattr(operator, "is_checked", False):
        operator.check_arguments()
        operator.is_checked = True


def path_of(arguments: Iterable[Argument], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the value of each path parameter."""
    return {each.path: values[each.name] for each in arguments if each.path is not None}


def body_of(arguments: Iterable[Argument], values: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the body, or None when none of its arguments is given."""
    made: dict[str, Any] = {}
    placed = [(each.body, values[each.name]) for each in arguments if each.body is not None]
    # Shorter keys first: `data.attributes` as a whole, then what is put into it.
    for place, value in sorted(placed, key=lambda each: each[0].count(".")):
        if value is not None:
            put(made, place, value)
    return made or None


def parts_of(arguments: Iterable[Argument], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parts of the call that arguments give as a whole."""
    return {each.part: values[each.name] for each in arguments if each.part is not None}


def put(body: dict[str, Any], place: str, value: Any) -> None:
    """Put a value at a dotted place of a body; a mapping is merged into the one that is there.

    What is not yet known stays so, whatever is put into it.
    """
    *above, last = place.split(".")
    holder = body
    for key in above:
        holder = holder.setdefault(key, {})
    there = holder.get(last)
    if isinstance(value, Mapping):
        merged = {**(there or {}), **value}
        is_known = not any(isinstance(each, NotYetKnown) for each in (there, value))
        holder[last] = merged if is_known else NotYetKnown(merged)
    else:
        holder[last] = list(value) if isinstance(value, tuple | set | frozenset) else value
