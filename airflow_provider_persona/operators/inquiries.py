"""Operators on inquiries: begin one, change it, decide it, and what else is done with it.

Every operator takes the parameters of `PersonaCallOperator` too: `result`, `deliver` and `persona_conn_id`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from airflow_provider_persona.operators.named import NamedOperator, PrintOperator, RedactOperator


class PersonaCreateInquiryOperator(NamedOperator):
    """Creates an inquiry, and returns its id.

    A session token or one-time link in the answer goes to `deliver` only.

    Example: `PersonaCreateInquiryOperator(task_id="invite", inquiry_template_id="itmpl_…", account_id="act_…")`

    :param inquiry_template_id: its template (`itmpl_…`), or
    :param inquiry_template_version_id: a version of one (`itmplv_…`), or
    :param template_id: a template of the older kind (`tmpl_…`).
    :param account_id: account that it is for.
    :param reference_id: your own id of the person. Not kept by Airflow.
    :param fields: values to fill in beforehand, by their configured names. Not kept by Airflow.
    :param note: a note, for people. Not kept by Airflow.
    :param tags: names of tags.
    :param redirect_uri: where the person is sent at the end.
    :param expires_after: seconds until an inquiry that nobody begins expires; by default 24 hours.
    :param attributes: further attributes by Persona's names, like `{"theme-set-id": "the_…"}`. Not kept by Airflow.
    :param meta: further options by Persona's names, like `{"auto-create-account": False}`. Not kept by Airflow.
    """

    operation_id = "create-an-inquiry"
    numbers = ("expires_after",)
    private = ("reference_id", "fields", "note", "attributes", "meta")
    mappings = ("fields", "attributes", "meta")
    name_lists = ("tags",)
    in_body: ClassVar = {
        "data.attributes": "attributes",
        "data.attributes.inquiry-template-id": "inquiry_template_id",
        "data.attributes.inquiry-template-version-id": "inquiry_template_version_id",
        "data.attributes.template-id": "template_id",
        "data.attributes.account-id": "account_id",
        "data.attributes.reference-id": "reference_id",
        "data.attributes.fields": "fields",
        "data.attributes.note": "note",
        "data.attributes.tags": "tags",
        "data.attributes.redirect-uri": "redirect_uri",
        "meta": "meta",
        "meta.expiration-after-create-interval-seconds": "expires_after",
    }

    def __init__(
        self,
        *,
        inquiry_template_id: str | None = None,
        inquiry_template_version_id: str | None = None,
        template_id: str | None = None,
        account_id: str | None = None,
        reference_id: str | None = None,
        fields: Mapping[str, Any] | None = None,
        note: str | None = None,
        tags: Sequence[str] | None = None,
        redirect_uri: str | None = None,
        expires_after: int | str | None = None,
        attributes: Mapping[str, Any] | None = None,
        meta: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.inquiry_template_id = inquiry_template_id
        self.inquiry_template_version_id = inquiry_template_version_id
        self.template_id = template_id
        self.account_id = account_id
        self.reference_id = reference_id
        self.fields = fields
        self.note = note
        self.tags = tags
        self.redirect_uri = redirect_uri
        self.expires_after = expires_after
        self.attributes = attributes
        self.meta = meta


class InquiryOperator(NamedOperator):
    """What the operators on one inquiry share.

    :param inquiry_id: the inquiry (`inq_…`).
    """

    in_path: ClassVar = {"inquiry-id": "inquiry_id"}

    def __init__(self, *, inquiry_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.inquiry_id = inquiry_id


class PersonaUpdateInquiryOperator(InquiryOperator):
    """Changes an inquiry's fields, note, tags or redirect; what is not given stays.

    Example: `PersonaUpdateInquiryOperator(task_id="note", inquiry_id="inq_…", note="called the customer")`

    :param inquiry_id: the inquiry (`inq_…`).
    :param fields: fields to set, by their configured names. Not kept by Airflow.
    :param note: a note, for people. Not kept by Airflow.
    :param tags: exactly these tags.
    :param redirect_uri: where the person is sent at the end.
    """

    operation_id = "update-an-inquiry"
    private = ("fields", "note")
    mappings = ("fields",)
    name_lists = ("tags",)
    in_body: ClassVar = {
        "data.attributes.fields": "fields",
        "data.attributes.note": "note",
        "data.attributes.tags": "tags",
        "data.attributes.redirect-uri": "redirect_uri",
    }

    def __init__(
        self,
        *,
        fields: Mapping[str, Any] | None = None,
        note: str | None = None,
        tags: Sequence[str] | None = None,
        redirect_uri: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.fields = fields
        self.note = note
        self.tags = tags
        self.redirect_uri = redirect_uri


class DecideInquiryOperator(InquiryOperator):
    """What approving and declining share.

    :param comment: why, for people. Not kept by Airflow.
    """

    private = ("comment",)
    in_body: ClassVar = {"meta.comment": "comment"}

    def __init__(self, *, comment: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.comment = comment


class PersonaApproveInquiryOperator(DecideInquiryOperator):
    """Approves an inquiry; the person cannot go on with it afterwards.

    Example: `PersonaApproveInquiryOperator(task_id="approve", inquiry_id="inq_…", comment="seen in the branch")`

    :param inquiry_id: the inquiry (`inq_…`).
    :param comment: why, for people. Not kept by Airflow.
    """

    operation_id = "approve-an-inquiry"


class PersonaDeclineInquiryOperator(DecideInquiryOperator):
    """Declines an inquiry.

    Example: `PersonaDeclineInquiryOperator(task_id="decline", inquiry_id="{{ params.inquiry }}")`

    :param inquiry_id: the inquiry (`inq_…`).
    :param comment: why, for people. Not kept by Airflow.
    """

    operation_id = "decline-an-inquiry"


class PersonaMarkInquiryForReviewOperator(InquiryOperator):
    """Puts an inquiry before a person for review.

    Example: `PersonaMarkInquiryForReviewOperator(task_id="review", inquiry_id="inq_…")`

    :param inquiry_id: the inquiry (`inq_…`).
    """

    operation_id = "mark-an-inquiry-for-review"


class PersonaResumeInquiryOperator(InquiryOperator):
    """Opens an inquiry again for the person; its session token goes to `deliver` only.

    Example: `PersonaResumeInquiryOperator(task_id="resume", inquiry_id="inq_…", deliver=hand_to_app)`

    :param inquiry_id: the inquiry (`inq_…`).
    """

    operation_id = "resume-an-inquiry"


class PersonaExpireInquiryOperator(InquiryOperator):
    """Lets an inquiry expire now.

    Example: `PersonaExpireInquiryOperator(task_id="expire", inquiry_id="inq_…")`

    :param inquiry_id: the inquiry (`inq_…`).
    """

    operation_id = "expire-an-inquiry"


class PersonaCreateInquiryLinkOperator(InquiryOperator):
    """Makes a link that lets its holder into an inquiry, once, and hands it to `deliver`.

    Whoever has the link is taken for the person, so it goes to XCom only when `result` names it:
    `result=["meta.one-time-link"]`, or `meta.one-time-link-short`.

    Example: `PersonaCreateInquiryLinkOperator(task_id="link", inquiry_id="inq_…", deliver=mail_to_customer)`, with
    `def mail_to_customer(link): send(link["id"], link["one-time-link"])`

    :param inquiry_id: the inquiry (`inq_…`).
    :param expires_in: seconds for which the link is good; by default what the template says, or 24 hours.
    """

    operation_id = "generate-a-one-time-link"
    numbers = ("expires_in",)
    in_body: ClassVar = {"meta.expires-in-seconds": "expires_in"}

    def __init__(self, *, expires_in: int | str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.expires_in = expires_in
        self.require_a_taker("meta.one-time-link", "meta.one-time-link-short")


class PersonaRedactInquiryOperator(InquiryOperator, RedactOperator):
    """Erases an inquiry's personal data for ever, and that of what belongs to it, which takes Persona a while.

    Example: `PersonaRedactInquiryOperator(task_id="erase", inquiry_id="inq_…", confirm=True)`

    :param inquiry_id: the inquiry (`inq_…`).
    :param confirm: must be True, since it cannot be undone.
    """

    operation_id = "redact-an-inquiry"


class PersonaPrintInquiryOperator(InquiryOperator, PrintOperator):
    """Prints an inquiry as a PDF into a file, and returns `uri`, `size` in bytes and `content_type`.

    Example: `PersonaPrintInquiryOperator(task_id="print", inquiry_id="inq_…", output_path="s3://aws@bucket/kyc/")`

    :param inquiry_id: the inquiry (`inq_…`).
    :param output_path: a local path or an address in an object store; with a slash at its end a folder.
    :param max_bytes: bytes that the file may have at most.
    """

    operation_id = "print-an-inquiry-pdf"
