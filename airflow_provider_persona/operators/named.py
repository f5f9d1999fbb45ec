"""What the named operators are made of: each says which argument goes where in a call, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from airflow_provider_persona.api.errors import PersonaAnswerError
from airflow_provider_persona.api.operations import BadCallError, operation
from airflow_provider_persona.operators.answers import names_secret
from airflow_provider_persona.operators.files import MAX_BYTES
from airflow_provider_persona.operators.operation import Call, PersonaCallOperator
from airflow_provider_persona.operators.private_templates import PrivateTemplate, revealed


class NamedOperator(PersonaCallOperator):
    """Makes one call of an operation that the class names.

    A subclass takes its arguments by name, keeps each as an attribute of that name, and says where each goes. All of
    them become template fields, those that may hold personal data private ones. An argument that is None is left out.
    """

    operation_id: ClassVar[str]
    """The operation of the catalogue."""
    in_path: ClassVar[Mapping[str, str]] = {}
    """From path parameters to the arguments that hold their values."""
    in_body: ClassVar[Mapping[str, str]] = {}
    """From dotted body keys to the arguments that hold their values. Where one key stands below another's value, the
    deeper one must come later; it is put into that value."""
    private: ClassVar[Sequence[str]] = ()
    """Arguments whose rendered values Airflow must not keep."""
    numbers: ClassVar[Sequence[str]] = ()
    """Arguments that are numbers, also where a template made a text of them."""
    also_templated: ClassVar[Sequence[str]] = ()
    """Arguments that go neither into the path nor, as they are, into the body."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Make the arguments template fields, once, so that no class can forget one."""
        super().__init_subclass__(**kwargs)
        if "template_fields" not in vars(cls):
            arguments = (*cls.in_path.values(), *cls.in_body.values(), *cls.also_templated)
            cls.template_fields = tuple(dict.fromkeys((*arguments, *PersonaCallOperator.template_fields)))
        for name in cls.private:
            if not isinstance(getattr(cls, name, None), PrivateTemplate):
                field = PrivateTemplate()
                field.__set_name__(cls, name)
                setattr(cls, name, field)

    def calls(self) -> Sequence[Call]:
        """Return the one call."""
        return [Call(self.called(), self.path_values(), body=self.body_values())]

    def called(self) -> str:
        """Return the id of the operation to call."""
        return self.operation_id

    def path_values(self) -> dict[str, Any]:
        """Return the value of each path parameter."""
        return {parameter: getattr(self, argument) for parameter, argument in self.in_path.items()}

    def body_values(self) -> dict[str, Any] | None:
        """Return the body, or None when none of its arguments is given."""
        body: dict[str, Any] = {}
        for place, argument in self.in_body.items():
            value = revealed(getattr(self, argument))
            if value is not None:
                put(body, place, as_number(value, argument) if argument in self.numbers else value)
        return body or None

    def require_a_taker(self, *places: str) -> None:
        """Refuse a call whose only gain is a secret that nobody takes.

        :param places: where the answer holds it.
        :raises BadCallError: when there is neither `deliver`, nor a `result` that names it.
        """
        if self.deliver is None and not any(names_secret(self.result, place) for place in places):
            raise BadCallError(f"{self.task_id} would lose what it makes; give deliver, or result=['{places[0]}']")


class SecretOperator(NamedOperator):
    """Makes a secret, and puts it where it belongs: into no XCom and no log.

    :param secret_variable: name of the Airflow Variable that the secret goes to, or
    :param deliver: a function that puts it elsewhere, called with a mapping that holds `id` and the secret.
    """

    also_templated: ClassVar[Sequence[str]] = ("secret_variable",)

    def __init__(self, *, secret_variable: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if (secret_variable is None) == (self.deliver is None):
            raise BadCallError(f"{self.task_id} makes a secret; give either secret_variable or deliver to take it")
        if any(names_secret(self.result, place) for place in operation(self.operation_id).secrets):
            raise BadCallError(f"{self.task_id}: the secret goes to secret_variable or deliver, not into the result")
        self.secret_variable = secret_variable

    def hand_over(self, secrets: Mapping[str, Any], resource_id: str | None) -> None:
        """Put the secret into the Variable, or hand it to the function.

        :raises PersonaAnswerError: when there is none.
        """
        if not secrets:
            raise PersonaAnswerError(
                f"the answer to {self.operation_id} holds no secret; look whether the attribute blocklist of the "
                "connection's key holds it back",
                operation_id=self.operation_id,
            )
        if self.secret_variable is None:
            super().hand_over(secrets, resource_id)
            return
        from airflow.providers.common.compat.sdk import Variable

        Variable.set(self.secret_variable, self.secret_of(secrets), description=f"Secret of Persona's {resource_id}")
        self.log.info("The secret of %s is in the Variable %s", resource_id, self.secret_variable)

    def secret_of(self, secrets: Mapping[str, Any]) -> str:
        """Return the one secret that goes to the Variable."""
        return str(secrets["value"])


def put(body: dict[str, Any], place: str, value: Any) -> None:
    """Put a value at a dotted place of a body; a mapping is merged into the one that is there."""
    *above, last = place.split(".")
    holder = body
    for key in above:
        holder = holder.setdefault(key, {})
    there = holder.get(last)
    if isinstance(value, Mapping):
        holder[last] = {**(there or {}), **value}
    else:
        holder[last] = list(value) if isinstance(value, tuple | set | frozenset) else value


def as_number(value: Any, name: str) -> Any:
    """Return a number that a template may have rendered to text.

    :raises BadCallError: when it is none.
    """
    if not isinstance(value, str):
        return value
    try:
        return float(value) if "." in value else int(value)
    except ValueError:
        raise BadCallError(f"{name} is a number, not a text") from None


class RedactOperator(NamedOperator):
    """Erases an object's personal data, for ever.

    :param confirm: must be True; nobody should erase for ever by a slip of the name.
    """

    def __init__(self, *, confirm: bool, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if confirm is not True:
            raise BadCallError(f"{self.operation_id} erases personal data for ever; say so with confirm=True")


class PrintOperator(NamedOperator):
    """Prints an object as a PDF into a file, and returns `uri`, `size` in bytes and `content_type`.

    :param output_path: a local path or an address in an object store, like `s3://aws_default@bucket/prints/`; with a
        slash at its end a folder, in which the file is called after the object's id.
    :param max_bytes: bytes that the file may have at most.
    """

    also_templated: ClassVar[Sequence[str]] = ("output_path",)

    def __init__(self, *, output_path: str, max_bytes: int = MAX_BYTES, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.output_path = output_path
        self.max_bytes = max_bytes


class TagOperator(NamedOperator):
    """Changes the tags of an object: one call to replace them all, or one for each tag added or removed.

    :param tags: exactly these tags, or
    :param add_tags: these tags too, and
    :param remove_tags: not these tags.
    """

    set_operation: ClassVar[str]
    add_operation: ClassVar[str]
    remove_operation: ClassVar[str]
    also_templated: ClassVar[Sequence[str]] = ("tags", "add_tags", "remove_tags")

    def __init__(
        self,
        *,
        tags: Sequence[str] | None = None,
        add_tags: Sequence[str] | None = None,
        remove_tags: Sequence[str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if (tags is None) == (add_tags is None and remove_tags is None):
            raise BadCallError(f"{self.task_id}: give either tags, which replaces all, or add_tags and remove_tags")
        self.tags = tags
        self.add_tags = add_tags
        self.remove_tags = remove_tags

    def calls(self) -> Sequence[Call]:
        """Return the calls that the wanted tags take."""
        if self.tags is not None:
            return [self._call(self.set_operation, _names(self.tags))]
        removed = [self._call(self.remove_operation, name) for name in _names(self.remove_tags)]
        return removed + [self._call(self.add_operation, name) for name in _names(self.add_tags)]

    def _call(self, called: str, names: str | list[str]) -> Call:
        return Call(called, self.path_values(), body={"meta": {"tag-name": names}})


def _names(given: Any) -> list[str]:
    if given is None:
        return []
    if isinstance(given, str) or not all(isinstance(name, str) and name for name in given):
        raise BadCallError("tags are given as a list of names")
    return list(dict.fromkeys(given))
