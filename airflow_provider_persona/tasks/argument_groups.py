"""Arguments that several operators share, each declared and documented once.

An operator names the groups that it takes. Its `__init__`, its template fields and the parameters in its docstring
follow from them, so `default_args`, `.partial().expand()` and `help()` know each argument by name.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterable, Iterator, KeysView, Mapping, ValuesView
from dataclasses import dataclass
from typing import Any, Final

from airflow_provider_persona.tasks.dag_defaults import without_needless_defaults
from airflow_provider_persona.tasks.private_templates import PrivateTemplate, revealed
from airflow_provider_persona.tasks.retry_policy import take_default_policy
from airflow_provider_persona.version_compat import comes_from_expand

REQUIRED: Final = inspect.Parameter.empty


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of an operator.

    :param name: its name.
    :param annotation: its type, as it stands in the signature.
    :param doc: what it does, for the docstring.
    :param default: its default; without one it must be given.
    :param attribute: name of the operator's attribute that keeps it, where that is another name.
    :param is_template: whether it is a template field.
    :param is_private: whether Airflow must not keep what its template renders to, since it may be personal data.
    :param renderer: how Airflow's page of rendered templates shows it, like `sql`.
    :param choices: the words that it may be, beside None; empty where it may be anything.
    """

    name: str
    annotation: str
    doc: str
    default: Any = REQUIRED
    attribute: str = ""
    is_template: bool = True
    is_private: bool = False
    renderer: str = ""
    choices: tuple[str, ...] = ()

    @property
    def kept_as(self) -> str:
        """Name of the operator's attribute that keeps it."""
        return self.attribute or self.name


@dataclass(frozen=True, slots=True)
class ArgumentGroup:
    """Arguments that belong together.

    :param arguments: the arguments.
    """

    arguments: tuple[Argument, ...]

    @classmethod
    def of(cls, *arguments: Argument) -> ArgumentGroup:
        """Return the group of some arguments."""
        return cls(arguments)

    def __add__(self, other: ArgumentGroup) -> ArgumentGroup:
        return ArgumentGroup((*self.arguments, *other.arguments))

    def __iter__(self) -> Iterator[Argument]:
        return iter(self.arguments)

    def values_in(self, operator: object) -> dict[str, Any]:
        """Return the values that an operator has for the arguments, by name, as rendered."""
        return {each.name: revealed(getattr(operator, each.kept_as)) for each in self.arguments}

    def check_choices(self, given: Mapping[str, Any]) -> None:
        """Check the arguments that may be one of a few words.

        :param given: the arguments by name.
        :raises ValueError: when one is another word.
        """
        for each in self.arguments:
            if each.choices and given[each.name] is not None and given[each.name] not in each.choices:
                raise ValueError(f"{each.name} is {', '.join(each.choices)}, not {given[each.name]!r}")


def declare(cls: type, group: ArgumentGroup) -> None:
    """Give an operator class its arguments: `__init__`, template fields and the parameters in its docstring.

    :param cls: a class that inherits from Airflow's `BaseOperator`.
    :param group: the arguments.
    """
    templates = [argument for argument in group if argument.is_template]
    inherited: tuple[str, ...] = tuple(getattr(cls, "template_fields", ()))
    declared: dict[str, Any] = {
        "__init__": _init(cls, group),
        "template_fields": tuple(dict.fromkeys((*(argument.kept_as for argument in templates), *inherited))),
        "template_fields_renderers": {each.kept_as: each.renderer for each in templates if each.renderer},
        "__doc__": f"{inspect.cleandoc(cls.__doc__ or '')}\n\n{_parameters_doc(group)}",
    }
    for name, value in declared.items():
        setattr(cls, name, value)
    for argument in group:
        if argument.is_private:
            field = PrivateTemplate()
            field.__set_name__(cls, argument.kept_as)
            setattr(cls, argument.kept_as, field)


def _init(cls: type, group: ArgumentGroup) -> Any:
    owner: Any = cls

    def init(self: Any, **kwargs: Any) -> None:
        values = {argument.name: kwargs.pop(argument.name, argument.default) for argument in group}
        super(owner, self).__init__(**kwargs)
        values = without_needless_defaults(self, values)
        for argument in group:
            setattr(self, argument.kept_as, kept(self, values[argument.name]))
        take_default_policy(self)
        self.check_arguments()

    ordered = sorted(group, key=lambda each: each.default is not REQUIRED)
    return as_init(init, ordered, cls.__module__, cls.__qualname__)


def kept(operator: Any, value: Any) -> Any:
    """Return the value that an operator keeps of an argument: what can be read only once, and a set, becomes a list.

    A path becomes its text. Airflow hashes a Dag with the text of its arguments. A generator's text is another one at
    each parse, and a set's (on Airflow 2) in each process. They may stand within a list or a mapping too.

    What came through `expand` is left as it is: Airflow knows by its identity that it is data and no template.

    :param operator: the operator, after Airflow's `__init__`.
    :param value: what it was given.
    """
    return value if comes_from_expand(operator) else _kept(value)


def kept_for_all(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of `partial` as an operator would keep them: each task that `expand` makes reads them."""
    return {name: _kept(value) for name, value in arguments.items()}


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


def as_init(init: Any, arguments: Iterable[Argument], module: str, class_name: str) -> Any:
    """Return a function as the `__init__` of a class that takes these arguments by keyword.

    :param init: the function; it takes `self` and any keywords.
    :param arguments: what its signature shows.
    :param module: the class's `__module__`.
    :param class_name: the class's `__qualname__`.
    """
    kinds = inspect.Parameter
    named = [
        kinds(each.name, kinds.KEYWORD_ONLY, default=each.default, annotation=each.annotation) for each in arguments
    ]
    # Airflow reads the signature: for `default_args`, for what must be given, and for `.partial()`.
    init.__signature__ = inspect.Signature(
        [kinds("self", kinds.POSITIONAL_OR_KEYWORD), *named, kinds("kwargs", kinds.VAR_KEYWORD)]
    )
    init.__name__, init.__qualname__, init.__module__ = "__init__", f"{class_name}.__init__", module
    return init


def _parameters_doc(group: ArgumentGroup) -> str:
    return "\n".join(f":param {argument.name}: {argument.doc}" for argument in group)
