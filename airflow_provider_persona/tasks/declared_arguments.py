"""Arguments of operators and sensors, declared and documented once, one a line in a class body.

    class PersonaApplyThingOperator(BulkOperator):
        plan: str = argument("the plan.")
        max_age: timedelta | None = argument("how old it may be.", default=None, is_template=False)
        groups = (Applying,)

The metaclass makes the rest from such lines and from the groups that a class shares with others: `__init__`, the
template fields, private templates, and the parameters in the docstring. So `default_args`, `.partial().expand()` and
`help()` know each argument by name.
"""

from __future__ import annotations

import ast
import inspect
import os
import textwrap
from collections.abc import Callable, Iterator, KeysView, Mapping, ValuesView
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeAlias, TypeVar

from airflow_provider_persona.tasks.arguments import (
    as_bool,
    as_mapping,
    as_names,
    as_strict_number,
    as_text,
)
from airflow_provider_persona.tasks.call_checks import NotYetKnown
from airflow_provider_persona.tasks.dag_defaults import without_needless_defaults
from airflow_provider_persona.tasks.nested_templates import render_nested
from airflow_provider_persona.tasks.private_templates import PrivateTemplate, revealed
from airflow_provider_persona.tasks.retry_policy import take_default_policy
from airflow_provider_persona.version_compat import BaseOperator, comes_from_expand

if TYPE_CHECKING:
    from airflow.sdk.bases.operator import BaseOperatorMeta
else:
    BaseOperatorMeta = type(BaseOperator)  # wherever this version of Airflow keeps it

T = TypeVar("T")

REQUIRED: Final = inspect.Parameter.empty

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

RESERVE_DOC: Final = "share of the request limit left to others; by default the connection's, or 0.2."

OF_ITS_NAME: Final = "data.attributes.<name>"
"""Stands for the attribute with the argument's name until that is known."""


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of an operator. The class body gives its name and its type.

    :param doc: what it does, for the docstring.
    :param default: its default; without one it must be given.
    :param is_template: whether it is a template field.
    :param template: descriptor that conceals its rendered value; None for one that may be seen.
    :param renderer: how Airflow's page of rendered templates shows it, like `sql`.
    :param choices: the words that it may be, beside None; empty where it may be anything.
    :param reader: turns its value into what it means; None for a value that stays as it is.
    :param attribute: name of the operator's attribute that keeps it, where that is another name.
    :param path: the path parameter of a call that it is.
    :param body: the dotted body key of a call that it is.
    :param part: the part of a `Call` that it is as a whole.
    :param name: its name.
    :param annotation: its type, as the signature shows it.
    """

    doc: str
    default: Any = REQUIRED
    is_template: bool = True
    template: type[PrivateTemplate] | None = None
    renderer: str = ""
    choices: tuple[str, ...] = ()
    reader: Reader | None = None
    attribute: str = ""
    path: str | None = None
    body: str | None = None
    part: str | None = None
    name: str = ""
    annotation: str = ""

    @property
    def kept_as(self) -> str:
        """Name of the operator's attribute that keeps it."""
        return self.attribute or self.name

    def read(self, value: Any) -> Any:
        """Return what a value means; what is not yet known stays so.

        :raises BadCallError: when it is not of the argument's kind.
        """
        return value if self.reader is None or isinstance(value, NotYetKnown) else self.reader(value, self.name)


def argument(
    doc: str,
    *,
    default: Any = REQUIRED,
    is_template: bool = True,
    private: bool = False,
    renderer: str = "",
    choices: tuple[str, ...] = (),
    reader: Reader | None = None,
    attribute: str = "",
    init: bool = True,  # noqa: ARG001 - for type checkers (PEP 681)
) -> Any:
    """Declare an argument; of an operator that makes calls: one that is no part of a call by itself.

    :param doc: what it is, for the docstring.
    :param default: its default; without one it must be given.
    :param is_template: whether it is a template field. One that is none must stand in the Dag as a value.
    :param private: whether Airflow must not keep what its template renders to, because it may be personal data.
    :param renderer: how Airflow's page of rendered templates shows it, like `sql`.
    :param choices: the words that it may be, beside None; by default it may be anything.
    :param reader: turns its value into what it means; by default the one for its type.
    :param attribute: name of the operator's attribute that keeps it, where that is another name.
    :param init: False where type checkers should know the attribute, and `__init__` does not take it.
    """
    template = PrivateTemplate if private else None
    return Argument(doc, default, is_template, template, renderer, choices, reader, attribute)


class ArgumentGroup:
    """Arguments that belong together and that several operators share. A subclass declares them in its body."""

    arguments: ClassVar[Mapping[str, Argument]] = {}

    def __init_subclass__(cls) -> None:
        """Collect the arguments: those of its base, and its own, which may take the place of one there."""
        cls.arguments = {**cls.arguments, **_declared(cls.__name__, dict(vars(cls)))}


class TakesArguments(BaseOperatorMeta):
    """Makes operators from the arguments that their class bodies declare, and checks each operator that a Dag makes.

    A class names the groups that it takes in `groups`. What it takes in all, with those of its bases, is in
    `arguments`. Its method `check_arguments` checks what stands in the Dag. Texts within lists and mappings stay texts
    when they are rendered, and a generator that `partial` is given serves each mapped task.
    """

    def __new__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **kwargs: Any) -> Any:
        """Make the class. Airflow's metaclass wraps its `__init__`, so that must be there before."""
        inherited: dict[str, Argument] = {}
        for base in reversed(bases):
            inherited.update(getattr(base, "arguments", {}))
        own = _declared(name, namespace)
        for group in namespace.get("groups", ()):
            own.update(group.arguments)
        if not any(isinstance(base, TakesArguments) for base in bases):  # the others inherit them
            namespace = {"partial": _partial, "render_template": render_nested, **namespace}
        made: list[type] = []  # filled below: `super()` in `__init__` needs the class, which is not there yet
        if own:
            arguments = own | {key: each for key, each in inherited.items() if key not in own}
            templates = {each.kept_as: each for each in arguments.values() if each.is_template}
            renderers = {key: each.renderer for key, each in templates.items() if each.renderer}
            namespace["arguments"] = arguments
            namespace["__init__"] = _init(own, inherited, arguments, made, namespace)
            namespace["__doc__"] = f"{inspect.cleandoc(namespace.get('__doc__') or '')}\n\n{_parameters(arguments)}"
            namespace.setdefault("template_fields", tuple(templates))
            namespace.setdefault("template_fields_renderers", renderers)
            namespace |= {each.kept_as: each.template() for each in own.values() if each.template is not None}
        made.append(super().__new__(cls, name, bases, namespace, **kwargs))  # type: ignore[no-untyped-call]
        return made[0]

    def __call__(cls: type[T], *args: Any, **kwargs: Any) -> T:
        """Make an operator, and check it once its last `__init__` is done."""
        made: Any = type.__call__(cls, *args, **kwargs)
        made.check_arguments()
        return made  # type: ignore[no-any-return]

    @property
    def __signature__(cls) -> inspect.Signature:
        """What `help()` and `inspect.signature` show of the class, instead of the parameters of `__call__` above."""
        init: Any = cls.__init__  # type: ignore[misc]
        signature = inspect.signature(init)
        return signature.replace(parameters=list(signature.parameters.values())[1:])


def given_to(operator: Any) -> dict[str, Any]:
    """Return the values of an operator's arguments by name, as rendered."""
    return {name: revealed(getattr(operator, each.kept_as)) for name, each in operator.arguments.items()}


def values_of(operator: Any) -> dict[str, Any]:
    """Return what an operator's arguments mean, by name, as rendered.

    :raises BadCallError: when one is not of its kind.
    """
    return {name: operator.arguments[name].read(value) for name, value in given_to(operator).items()}


def kept(operator: Any, value: Any) -> Any:
    """Return the value that an operator keeps of an argument: what can be read only once, and a set, becomes a list.

    A path becomes its text. Airflow hashes a Dag with the text of its arguments. A generator's text is another one at
    each parse, and a set's (on Airflow 2) in each process. They may stand within a list or a mapping too.

    What came through `expand` is left as it is: Airflow knows by its identity that it is data and no template.

    :param operator: the operator, after Airflow's `__init__`.
    :param value: what it was given.
    """
    return value if comes_from_expand(operator) else _kept(value)


@classmethod  # type: ignore[misc] # it becomes a method of each operator
def _partial(cls: type, **kwargs: Any) -> Any:
    """Give arguments to all tasks that `expand` makes, as for every operator; a generator serves each of them."""
    usual = vars(BaseOperator)["partial"].__get__(None, cls)
    return usual(**{name: _kept(value) for name, value in kwargs.items()})


def _kept(value: Any) -> Any:
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, Iterator | KeysView | ValuesView):
        value = list(value)
    elif type(value) in (set, frozenset):
        value = sorted(value, key=lambda each: (type(each).__name__, str(each)))
    if type(value) is dict:
        return {name: _kept(each) for name, each in value.items()}
    return type(value)(map(_kept, value)) if type(value) in (list, tuple) else value


def _declared(class_name: str, namespace: dict[str, Any]) -> dict[str, Argument]:
    """Take the declared arguments out of a class body, and return them with their names, types and readers.

    They must go: a class attribute would be what an operator shows before its argument is set.
    """
    found: dict[str, Argument] = {}
    types = namespace.get("__annotations__", {})
    for name in [name for name, value in namespace.items() if isinstance(value, Argument)]:
        declared = namespace.pop(name)
        if name not in types:
            raise TypeError(f"{class_name}.{name} is declared without a type")
        written = types[name] if isinstance(types[name], str) else inspect.formatannotation(types[name])
        reader = declared.reader or _reader_of(written)
        if reader is None and (declared.body or declared.part):
            raise TypeError(f"{class_name}.{name} has the type {written}, which no reader is known for")
        shown = " | ".join(_SHOWN_AS.get(member, member) for member in _members(written))
        place = f"data.attributes.{name.replace('_', '-')}" if declared.body == OF_ITS_NAME else declared.body
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
    own: Mapping[str, Argument],
    inherited: Mapping[str, Argument],
    arguments: Mapping[str, Argument],
    made: list[type],
    namespace: Mapping[str, Any],
) -> Any:
    """Return the `__init__` of a class.

    :param own: arguments that its body declares or its groups bring.
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
        # After Airflow's `__init__`: only then are `default_args` applied, and only then does `kept` see a mapped task.
        bases = {name: self.__dict__[name] for name in inherited if name in self.__dict__}
        for name, value in without_needless_defaults(self, {**bases, **values}).items():
            # A base has set its own arguments; of these only one that was dropped above is set anew.
            if name in values or value is not bases[name]:
                setattr(self, arguments[name].kept_as, kept(self, value))
        take_default_policy(self)

    kinds = inspect.Parameter
    named = [
        kinds(name, kinds.KEYWORD_ONLY, default=each.default, annotation=each.annotation)
        for name, each in arguments.items()
    ]
    # Airflow reads the signature: for `default_args`, for what must be given, and for `.partial()`.
    init.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [kinds("self", kinds.POSITIONAL_OR_KEYWORD), *named, kinds("kwargs", kinds.VAR_KEYWORD)]
    )
    init.__name__, init.__module__ = "__init__", namespace["__module__"]
    init.__qualname__ = f"{namespace['__qualname__']}.__init__"
    return init


def _parameters(arguments: Mapping[str, Argument]) -> str:
    """Return the parameters as lines of a docstring."""
    return "\n".join(_parameter(name, each.doc, each.template is PrivateTemplate) for name, each in arguments.items())


@cache
def _parameter(name: str, doc: str, is_private: bool) -> str:  # noqa: FBT001 - part of the cache's key
    text = " ".join(f":param {name}: {doc}{' Not kept by Airflow.' if is_private else ''}".split())
    return textwrap.fill(text, 110, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False)
