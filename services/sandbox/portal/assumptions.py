"""What the Portal's texts leave open, as switches of an account's seed: the first value of each is the default.

They are described in docs/reference/sandbox.md; the contract tests run the product under each of them.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict


class Assumptions(BaseModel):
    """How one account of the Portal behaves where the texts are silent."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ended_session: Literal[403, 401, 400, 404] = 403
    head_status: Literal["capitals", "small", "capitalised"] = "capitals"
    errors: Literal["by_status", "with_200"] = "by_status"
    other_sessions: Literal["kept", "ended"] = "kept"
    list_ids: Literal["numbers", "texts"] = "numbers"
    attribute_ids: Literal["texts", "numbers"] = "texts"
    unset_fields: Literal["null", "left_out", "empty"] = "null"
    empty_attributes: Literal["shown", "null", "left_out"] = "shown"
    list_order: Literal["by_id", "newest_first"] = "by_id"
    empty_list: Literal["list", "null"] = "list"
    driver_named_by: Literal["ref_id_first", "id_first", "id_only"] = "ref_id_first"


ASSUMED = Assumptions()
