"""What the named operators are made of: each says which argument goes where in a call, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_persona.api.errors import PersonaAnswerError
from airflow_provider_persona.api.operations import BadCallError, operation
from airflow_provider_persona.operators.answers import names_secret
from airflow_provider_persona.operators.arguments import as_flag, as_names, as_number, as_object
from airflow_provider_persona.operators.call_checks import NotYetKnown, check_call, known
from airflow_provider_persona.operators.files import MAX_BYTES
from airflow_provider_persona.operators.operation import Call, PersonaCallOperator
from airflow_provider_persona.operators.private_templates import PrivateTemplate, revealed

if TYPE_CHECKING:
    from airflow.sdk.bases.operator import BaseOperatorMeta
else:
    BaseOperatorMeta = type(BaseOperator)  # wherever this version of Airflow keeps it


class _CheckedWhenMade(BaseOperatorMeta):
    """Lets each operator check its arguments once its last `__init__` is done.

    One that Airflow makes of a mapped operator is not: it is made when its task runs, whose `execute` looks and fails
    for good.
    """

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        is_of_mapped = bool(kwargs.get("_airflow_from_mapped"))
        made = super().__call__(*args, **kwargs)
        if not is_of_mapped:
            made.check_arguments()
        return made


class NamedOperator(PersonaCallOperator, metaclass=_CheckedWhenMade):
    """Makes one call of an operation that the class names.

    A subclass takes its arguments by name, keeps each as an attribute of that name, and says where each goes. All of
    them become template fields, those that may hold personal data private ones. An argument that is None is left out.
    What stands in the Dag is checked when the Dag is parsed.
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
    flags: ClassVar[Sequence[str]] = ()
    """Arguments that are true or false, likewise."""
    mappings: ClassVar[Sequence[str]] = ()
    """Arguments that are mappings, likewise."""
    name_lists: ClassVar[Sequence[str]] = ()
    """Arguments that are lists of names, likewise."""
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
        given = {argument: revealed(getattr(self, argument)) for argument in self.in_body.values()}
        return self._body_of({argument: self.meant(argument, value) for argument, value in given.items()})

    def meant(self, argument: str, value: Any) -> Any:
        """Return what an argument's value means, None when it is not given.

        :raises BadCallError: when it is not of the argument's kind.
        """
        for arguments, read in (
            (self.numbers, as_number),
            (self.flags, as_flag),
            (self.mappings, as_object),
            (self.name_lists, as_names),
        ):
            if argument in arguments:
                return read(value, argument)
        return value

    def check_arguments(self) -> None:
        """Check what stands in the Dag.

        :raises BadCallError: when the call cannot be made, naming the operation and what is missing or wrong.
        """
        for call in self.known_calls():
            check_call(call.operation_id, call.path, call.query, call.body)

    def known_calls(self) -> Sequence[Call]:
        """Return the call as far as it is known when the Dag is parsed."""
        return [Call(self.called(), self.path_values(), body=self.known_body())]

    def known_body(self) -> Mapping[str, Any] | None:
        """Return the body as far as it is known when the Dag is parsed."""
        given = {argument: known(getattr(self, argument)) for argument in self.in_body.values()}
        return self._body_of(
            {
                argument: value if isinstance(value, NotYetKnown) else self.meant(argument, value)
                for argument, value in given.items()
            }
        )

    def _body_of(self, values: Mapping[str, Any]) -> dict[str, Any] | None:
        body: dict[str, Any] = {}
        for place, argument in self.in_body.items():
            if values[argument] is not None:
                put(body, place, values[argument])
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

    def check_arguments(self) -> None:
        """Check what stands in the Dag, and that the file has a place.

        :raises BadCallError: when it has none, or the call cannot be made.
        """
        super().check_arguments()
        if known(self.output_path) in (None, ""):
            raise BadCallError(f"{self.called()} answers with a file; give output_path")


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
            return [self._call(self.set_operation, self._names("tags"))]
        removed = [self._call(self.remove_operation, name) for name in self._names("remove_tags")]
        return removed + [self._call(self.add_operation, name) for name in self._names("add_tags")]

    def known_calls(self) -> Sequence[Call]:
        """Return a call of each kind that may be made."""
        given = {"tags": self.tags, "add_tags": self.add_tags, "remove_tags": self.remove_tags}
        for argument, value in given.items():
            if not isinstance(known(value), NotYetKnown):
                as_names(value, argument)
        called = [self.set_operation] if self.tags is not None else [self.remove_operation, self.add_operation]
        return [Call(each, self.path_values(), body=NotYetKnown()) for each in called]

    def unchanged(self) -> Any:
        """Return the object's id where the result is an id: it has no tag to get or lose."""
        return next(iter(self.path_values().values())) if self.result == "id" else None

    def _names(self, argument: str) -> list[str]:
        return list(dict.fromkeys(as_names(getattr(self, argument), argument) or ()))

    def _call(self, called: str, names: str | list[str]) -> Call:
        return Call(called, self.path_values(), body={"meta": {"tag-name": names}})
