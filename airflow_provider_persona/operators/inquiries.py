"""Operators on inquiries: begin, change, decide, expire, redact and print them."""

from __future__ import annotations

from typing import Literal

from airflow_provider_persona.tasks.argument_rules import somebody_takes
from airflow_provider_persona.tasks.arguments import JsonObject, Names, Number, Text
from airflow_provider_persona.tasks.call_arguments import attribute, body, confirmation, part, path
from airflow_provider_persona.tasks.call_operator import PersonaCallOperator
from airflow_provider_persona.tasks.files import LIMIT_DOC, MAX_BYTES, OUTPUT_DOC


class PersonaCreateInquiryOperator(PersonaCallOperator):
    """Creates an inquiry, and returns its id.

    A session token or one-time link in the answer goes to `deliver` only.

    Example: `PersonaCreateInquiryOperator(task_id="invite", inquiry_template_id="itmpl_…", account_id="act_…")`
    """

    operation_id = "create-an-inquiry"
    inquiry_template_id: Text | None = attribute("its template (`itmpl_…`), or", default=None)
    inquiry_template_version_id: Text | None = attribute("a version of one (`itmplv_…`), or", default=None)
    template_id: Text | None = attribute("a template of the older kind (`tmpl_…`).", default=None)
    account_id: Text | None = attribute("account that it is for.", default=None)
    reference_id: Text | None = attribute("your own id of the person.", default=None, private=True)
    fields: JsonObject | None = attribute(
        "values to fill in beforehand, by their configured names.", default=None, private=True
    )
    note: Text | None = attribute("a note, for people.", default=None, private=True)
    tags: Names | None = attribute("names of tags.", default=None)
    redirect_uri: Text | None = attribute("where the person is sent at the end.", default=None)
    expires_after: Number | None = body(
        "meta.expiration-after-create-interval-seconds",
        "seconds until an inquiry that nobody begins expires; by default 24 hours.",
        default=None,
    )
    attributes: JsonObject | None = body(
        "data.attributes",
        'further attributes by Persona\'s names, like `{"theme-set-id": "the_…"}`.',
        default=None,
        private=True,
    )
    meta: JsonObject | None = body(
        "meta",
        'further options by Persona\'s names, like `{"auto-create-account": False}`.',
        default=None,
        private=True,
    )


class PersonaUpdateInquiryOperator(PersonaCallOperator):
    """Changes an inquiry's fields, note, tags or redirect; what is not given stays.

    Example: `PersonaUpdateInquiryOperator(task_id="note", inquiry_id="inq_…", note="called the customer")`
    """

    operation_id = "update-an-inquiry"
    inquiry_id: Text = path("inquiry-id", "the inquiry (`inq_…`).")
    fields: JsonObject | None = attribute("fields to set, by their configured names.", default=None, private=True)
    note: Text | None = attribute("a note, for people.", default=None, private=True)
    tags: Names | None = attribute("exactly these tags.", default=None)
    redirect_uri: Text | None = attribute("where the person is sent at the end.", default=None)


class PersonaApproveInquiryOperator(PersonaCallOperator):
    """Approves an inquiry; the person cannot continue with it afterwards.

    Example: `PersonaApproveInquiryOperator(task_id="approve", inquiry_id="inq_…", comment="seen in the branch")`
    """

    operation_id = "approve-an-inquiry"
    inquiry_id: Text = path("inquiry-id", "the inquiry (`inq_…`).")
    comment: Text | None = body("meta.comment", "why, for people.", default=None, private=True)


class PersonaDeclineInquiryOperator(PersonaCallOperator):
    """Declines an inquiry.

    Example: `PersonaDeclineInquiryOperator(task_id="decline", inquiry_id="{{ params.inquiry }}")`
    """

    operation_id = "decline-an-inquiry"
    inquiry_id: Text = path("inquiry-id", "the inquiry (`inq_…`).")
    comment: Text | None = body("meta.comment", "why, for people.", default=None, private=True)


class PersonaMarkInquiryForReviewOperator(PersonaCallOperator):
    """Marks an inquiry for review by a person.

    Example: `PersonaMarkInquiryForReviewOperator(task_id="review", inquiry_id="inq_…")`
    """

    operation_id = "mark-an-inquiry-for-review"
    inquiry_id: Text = path("inquiry-id", "the inquiry (`inq_…`).")


class PersonaResumeInquiryOperator(PersonaCallOperator):
    """Opens an inquiry again for the person; its session token goes to `deliver` only.

    Example: `PersonaResumeInquiryOperator(task_id="resume", inquiry_id="inq_…", deliver=hand_to_app)`
    """

    operation_id = "resume-an-inquiry"
    inquiry_id: Text = path("inquiry-id", "the inquiry (`inq_…`).")


class PersonaExpireInquiryOperator(PersonaCallOperator):
    """Lets an inquiry expire now.

    Example: `PersonaExpireInquiryOperator(task_id="expire", inquiry_id="inq_…")`
    """

    operation_id = "expire-an-inquiry"
    inquiry_id: Text = path("inquiry-id", "the inquiry (`inq_…`).")


class PersonaCreateInquiryLinkOperator(PersonaCallOperator):
    """Makes a link that lets its holder into an inquiry, once, and hands it to `deliver`.

    Persona takes whoever has the link for the person, so it goes to XCom only when `result` names it:
    `result=["meta.one-time-link"]`, or `meta.one-time-link-short`.

    Example: `PersonaCreateInquiryLinkOperator(task_id="link", inquiry_id="inq_…", deliver=mail_to_customer)`, with
    `def mail_to_customer(link): send(link["id"], link["one-time-link"])`
    """

    operation_id = "generate-a-one-time-link"
    inquiry_id: Text = path("inquiry-id", "the inquiry (`inq_…`).")
    expires_in: Number | None = body(
        "meta.expires-in-seconds",
        "seconds for which the link is good; by default what the template says, or 24 hours.",
        default=None,
    )
    rules = (somebody_takes("meta.one-time-link", "meta.one-time-link-short"),)


class PersonaRedactInquiryOperator(PersonaCallOperator):
    """Erases an inquiry's personal data for ever, and that of what belongs to it, which takes Persona a while.

    Example: `PersonaRedactInquiryOperator(task_id="erase", inquiry_id="inq_…", confirm=True)`
    """

    operation_id = "redact-an-inquiry"
    inquiry_id: Text = path("inquiry-id", "the inquiry (`inq_…`).")
    confirm: Literal[True] = confirmation()


class PersonaPrintInquiryOperator(PersonaCallOperator):
    """Prints an inquiry as a PDF into a file, and returns `uri`, `size` in bytes and `content_type`.

    Example: `PersonaPrintInquiryOperator(task_id="print", inquiry_id="inq_…", output_path="s3://aws@bucket/kyc/")`
    """

    operation_id = "print-an-inquiry-pdf"
    inquiry_id: Text = path("inquiry-id", "the inquiry (`inq_…`).")
    output_path: Text = part("output_path", OUTPUT_DOC)
    max_bytes: int = part("max_bytes", LIMIT_DOC, default=MAX_BYTES, is_template=False)
