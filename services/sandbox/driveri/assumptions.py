"""What is not public about Driveri, as switches of a tenant's seed: what the sandbox assumes, and the other readings.

Everything else comes from driveri-python-sdk 1.0.0. The switches are described in docs/reference/sandbox.md; the
contract tests run the product under each of them.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

LicenseStates = Literal["as_written", "shown_with_country", "shown_without", "with_country", "without"]


class Assumptions(BaseModel):
    """How one tenant behaves where the vendor says nothing; the defaults are the sandbox's own readings."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    configurations: Literal["nested", "flat"] = "nested"
    ids: Literal["any_case", "exact"] = "any_case"
    taken_id: Literal[400, 409] = 409
    deleted_id: Literal["kept", "freed"] = "kept"
    reinstating_unknown: Literal["created", "refused"] = "created"
    reinstating_live: Literal["refused", "updated"] = "refused"
    phone: Literal["hidden", "shown"] = "hidden"
    status_in_updates: Literal["changes", "ignored", "refused"] = "changes"
    reinstated_fields: Literal["written", "kept"] = "written"
    reinstated_status: Literal["active", "kept"] = "active"
    blank_text: Literal["clears", "ignored", "refused"] = "clears"
    partial_licence: Literal["refused", "taken"] = "refused"
    license_states: Literal["as_written", "shown_with_country", "shown_without", "with_country", "without"] = (
        "as_written"
    )
    emails: Literal["shared", "unique"] = "shared"
    group_named_by: Literal["unique_name", "name"] = "unique_name"
    group_unknown: Literal["made", "refused"] = "made"
    other_group: Literal["left", "refused", "kept_first"] = "left"
    listed_deleted: Literal["shown", "hidden"] = "shown"
    unset_fields: Literal["null", "left_out", "empty"] = "null"
    links: Literal["absolute", "relative", "left_out"] = "absolute"
    total_count: Literal["stated", "left_out"] = "stated"
    look_up_deleted: Literal["shown", "hidden"] = "shown"
    look_up_miss: Literal["not_found", "empty"] = "not_found"
    longest_page: int = Field(default=200, ge=1, le=200)
    long_limit: Literal["refused", "cut"] = "refused"
    longest_bulk: int | None = Field(default=None, ge=1)
    errors: Literal["below_error", "at_the_top"] = "below_error"
    write_answers: Literal["message", "empty"] = "message"
    third_token: Literal["refused", "oldest_revoked"] = "refused"  # noqa: S105 - what happens to it
    listed_tokens: Literal["whole", "without_secrets"] = "whole"
    shown_after: float = Field(default=0.0, ge=0.0, le=3600.0)


ASSUMED = Assumptions()
