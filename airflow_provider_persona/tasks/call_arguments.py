"""Arguments of operators that call Persona, declared one a line in the class body.

    class PersonaTagThingOperator(PersonaCallOperator):
        operation_id = "tag-a-thing"
        thing_id: Text = path("thing-id", "the thing (`th_…`).")
        tags: Names | None = body("data.attributes.tags", "names of tags.", default=None)
        note: Text | None = attribute("a note, for people.", default=None, private=True)

The metaclass makes the rest from such lines: `__init__`, the template fields, private templates, the parameters in the
docstring, and the readers that turn rendered text back into values. Type checkers know the arguments too (PEP 681).
An argument that is None is left out of the call.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar, dataclass_transform

from airflow_provider_persona.tasks.argument_groups import REQUIRED, Argument, as_init, kept
from airflow_provider_persona.tasks.arguments import (
    as_bool,
    as_confirmation,
    as_mapping,
    as_names,
    as_strict_number,
    as_text,
)
from airflow_provider_persona.tasks.call_checks import NotYetKnown
from airflow_provider_persona.tasks.dag_defaults import without_needless_defaults
from airflow_provider_persona.tasks.private_templates import PrivateTemplate
from airflow_provider_persona.tasks.retry_policy import take_default_policy
from airflow_provider_persona.version_compat import BaseOperator

if TYPE_CHECKING:
    from airflow.sdk.bases.operator import BaseOperatorMeta
else:
    BaseOperatorMeta = type(BaseOperator)  # wherever this version of Airflow keeps it

T = TypeVar("T")

Reader: TypeAlias = Callable[[Any, str], Any]
"""Turns a value into what the argument of this name means, or raises `BadCallError`."""

_READERS: Final[Mapping[str, Reader]] = {
    "Text": as_text,
    "str": as_text,
    "Number": as_strict_number,
    "int": as_strict_number,
    "float": as_strict_number,
    "Flag": as_bool,
    "bool": as_bool,
    "Names": as_names,
    "Sequence[str]": as_names,
    "list[str]": as_names,
    "JsonObject": as_mapping,
    "Mapping[str, Any]": as_mapping,
    "dict[str, Any]": as_mapping,
}
"""From the type of an argument, as it is written, to the reader of its values."""

_SHOWN_AS: Final[Mapping[str, str]] = {
    "Text": "str",
    "Number": "int | float",
    "Flag": "bool",
    "Names": "Sequence[str]",
    "JsonObject": "Mapping[str, Any]",
}
"""From our names of types to what signatures and the reference show."""


_OF_ITS_NAME: Final = "data.attributes.<name>"
"""Stands for the attribute with the argument's name until that is known."""


@dataclass(frozen=True, slots=True)
class CallArgument(Argument):
    """One argument of an operator, and where its value goes in the call.

    :param path: the path parameter that it is.
    :param body: the dotted body key that it is.
    :param part: the part of a `Call` that it is as a whole.
    :param reader: turns its value into what it means; None for a value that stays as it is.
    :param template: descriptor that conceals its rendered value; None for one that may be seen.
    """

    path: str | None = None
    body: str | None = None
    part: str | None = None
    reader: Reader | None = None
    template: type[PrivateTemplate] | None = None

    def read(self, value: Any) -> Any:
        """Return what a value means; what is not yet known stays so.

        :raises BadCallError: when it is not of the argument's kind.
        """
        return value if self.reader is None or isinstance(value, NotYetKnown) else self.reader(value, self.name)


def path(parameter: str, doc: str, *, default: Any = REQUIRED) -> Any:
    """Declare the value of a path parameter.

    :param parameter: the parameter in the operation's path, like `case-id`.
    :param doc: what it is, for the docstring.
    :param default: its default; without one it must be given.
    """
    return CallArgument("", "", doc, default, path=parameter)


def body(place: str, doc: str, *, default: Any = REQUIRED, private: bool = False) -> Any:
    """Declare the value of a body key.

    :param place: the dotted key, like `data.attributes.tags`. A value is merged into the mapping that another argument
        gives for a key above it.
    :param doc: what it is, for the docstring.
    :param default: its default; without one it must be given.
    :param private: whether Airflow must not keep what its template renders to, because it may be personal data.
    """
    return CallArgument("", "", doc, default, body=place, template=PrivateTemplate if private else None)


def attribute(doc: str, *, default: Any = REQUIRED, private: bool = False) -> Any:
    """Declare the value of the attribute that has the argument's name: `body` for `data.attributes.<name>`.

    Parameters as for `body`.
    """
    return CallArgument("", "", doc, default, body=_OF_ITS_NAME, template=PrivateTemplate if private else None)


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
    return CallArgument("", "", doc, default, is_template=is_template, part=name, template=template)


def argument(
    doc: str,
    *,
    default: Any = REQUIRED,
    is_template: bool = True,
    private: bool = False,
    reader: Reader | None = None,
    init: bool = True,  # noqa: ARG001 - for type checkers (PEP 681)
) -> Any:
    """Declare an argument that is no part of the call, or that the class puts into it itself.

    :param doc: what it is, for the docstring.
    :param default: its default; without one it must be given.
    :param is_template: whether it is a template field. One that is none must stand in the Dag as a value.
    :param private: as for `body`.
    :param reader: turns its value into what it means; by default the one for its type.
    :param init: False where type checkers should know the attribute, and `__init__` does not take it.
    """
    template = PrivateTemplate if private else None
    return CallArgument("", "", doc, default, is_template=is_template, reader=reader, template=template)


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
class DeclaresArguments(BaseOperatorMeta):
    """Makes operators from the arguments that their class bodies declare, and checks each operator that a Dag makes."""

    def __new__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **kwargs: Any) -> Any:
        """Make the class. Airflow's metaclass wraps its `__init__`, so that must be there before."""
        inherited: dict[str, CallArgument] = {}
        for base in reversed(bases):
            inherited.update(getattr(base, "arguments", {}))
        own = _declared(name, namespace)
        made: list[type] = []
        if own:
            arguments = own | {key: each for key, each in inherited.items() if key not in own}
            namespace["arguments"] = arguments
            namespace["__init__"] = _init(own, inherited, arguments, made, namespace)
            namespace["__doc__"] = f"{inspect.cleandoc(namespace.get('__doc__') or '')}\n\n{_parameters(arguments)}"
            templates = tuple(key for key, each in arguments.items() if each.is_template)
            namespace.setdefault("template_fields", templates)
            namespace |= {key: each.template() for key, each in own.items() if each.template is not None}
        made.append(super().__new__(cls, name, bases, namespace, **kwargs))  # type: ignore[no-untyped-call]
        return made[0]

    def __call__(cls: type[T], *args: Any, **kwargs: Any) -> T:
        """Make an operator, and check it once its last `__init__` is done.

        Airflow makes a mapped operator when its task runs. An error here would then count as one that a retry may
        mend, so `execute` checks such an operator, and fails for good.
        """
        is_of_mapped = bool(kwargs.get("_airflow_from_mapped"))
        made: Any = type.__call__(cls, *args, **kwargs)
        if not is_of_mapped:
            made.check_arguments()
            made.is_checked = True
        return made  # type: ignore[no-any-return]

    @property
    def __signature__(cls) -> inspect.Signature:
        """What `help()` and `inspect.signature` show of the class, instead of the parameters of `__call__` above."""
        init: Any = cls.__init__  # type: ignore[misc]
        signature = inspect.signature(init)
        return signature.replace(parameters=list(signature.parameters.values())[1:])


def path_of(arguments: Iterable[CallArgument], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the value of each path parameter."""
    return {each.path: values[each.name] for each in arguments if each.path is not None}


def body_of(arguments: Iterable[CallArgument], values: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the body, or None when none of its arguments is given."""
    made: dict[str, Any] = {}
    placed = [(each.body, values[each.name]) for each in arguments if each.body is not None]
    # Shorter keys first: `data.attributes` as a whole, then what is put into it.
    for place, value in sorted(placed, key=lambda each: each[0].count(".")):
        if value is not None:
            put(made, place, value)
    return made or None


def parts_of(arguments: Iterable[CallArgument], values: Mapping[str, Any]) -> dict[str, Any]:
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


def _declared(class_name: str, namespace: dict[str, Any]) -> dict[str, CallArgument]:
    """Take the declared arguments out of a class body, and return them with their names, types and readers.

    They must go: a class attribute would be what an operator shows before its argument is set.
    """
    found: dict[str, CallArgument] = {}
    types = namespace.get("__annotations__", {})
    for name in [name for name, value in namespace.items() if isinstance(value, CallArgument)]:
        declared = namespace.pop(name)
        if name not in types:
            raise TypeError(f"{class_name}.{name} is declared without a type")
        written = types[name] if isinstance(types[name], str) else inspect.formatannotation(types[name])
        reader = declared.reader or _reader_of(written)
        if reader is None and (declared.body or declared.part):
            raise TypeError(f"{class_name}.{name} has the type {written}, which no reader is known for")
        shown = " | ".join(_SHOWN_AS.get(member, member) for member in _members(written))
        place = f"data.attributes.{name.replace('_', '-')}" if declared.body == _OF_ITS_NAME else declared.body
        found[name] = replace(
            declared, name=name, annotation=shown, body=place, reader=None if declared.path else reader
        )
    return found


def _reader_of(written: str) -> Reader | None:
    """Return the reader for a type as it is written, None when there is no single one."""
    members = [each for each in _members(written) if each not in ("None", "XComArg")]
    if len(members) > 1:  # text beside another type stands for its templates
        members = [each for each in members if each != "str"]
    readers = {_READERS.get(each) for each in members}
    return readers.pop() if len(readers) == 1 else None


@cache
def _members(written: str) -> tuple[str, ...]:
    """Return the members of a union as it is written."""

    def members(node: ast.expr) -> list[ast.expr]:
        is_union = isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr)
        return members(node.left) + members(node.right) if is_union else [node]  # type: ignore[attr-defined]

    text = written.replace("collections.abc.", "").replace("typing.", "")
    return tuple(ast.unparse(each) for each in members(ast.parse(text, mode="eval").body))


def _init(
    own: Mapping[str, CallArgument],
    inherited: Mapping[str, CallArgument],
    arguments: Mapping[str, CallArgument],
    made: list[type],
    namespace: Mapping[str, Any],
) -> Any:
    """Return the `__init__` of a class.

    :param own: arguments that its body declares.
    :param inherited: arguments that its bases take.
    :param arguments: all of them.
    :param made: holds the class once it is made.
    :param namespace: its namespace.
    """

    def init(self: Any, **kwargs: Any) -> None:
        values = {name: kwargs.pop(name, each.default) for name, each in own.items() if name not in inherited}
        for name in own.keys() & inherited.keys():  # only the base sets it, and the class gives another default
            kwargs.setdefault(name, own[name].default)
        owner: Any = made[0]
        super(owner, self).__init__(**kwargs)
        bases = {name: self.__dict__[name] for name in inherited if name in self.__dict__}
        for name, value in without_needless_defaults(self, {**bases, **values}).items():
            if name in values or value is not bases[name]:
                setattr(self, name, kept(self, value))
        take_default_policy(self)

    return as_init(init, arguments.values(), namespace["__module__"], namespace["__qualname__"])


def _parameters(arguments: Mapping[str, CallArgument]) -> str:
    """Return the parameters as lines of a docstring."""
    return "\n".join(_parameter(name, each.doc, each.template is PrivateTemplate) for name, each in arguments.items())


@cache
def _parameter(name: str, doc: str, is_private: bool) -> str:  # noqa: FBT001 - part of the cache's key
    text = " ".join(f":param {name}: {doc}{' Not kept by Airflow.' if is_private else ''}".split())
    return textwrap.fill(text, 110, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False)
