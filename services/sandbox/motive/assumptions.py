"""What Motive's texts leave open, as switches: each default is one reading, and each other value another one.

They are stated in the seed of a company below `assumptions`, and described in docs/reference/sandbox.md; the contract
tests run the product under each of them.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Name = Literal["external_ids", "external_ids_attributes"]
LicenseStates = Literal["as_written", "codes", "names", "with_country", "lower_case", "codes_only"]
NAMES: tuple[Name, ...] = ("external_ids", "external_ids_attributes")


class Assumptions(BaseModel):
    """How the sandbox behaves where the texts are silent; the first value of each switch is the default."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    names_in_updates: Literal["both", "external_ids", "external_ids_attributes", "neither"] = "both"
    names_in_creates: Literal["external_ids_attributes", "external_ids", "both", "neither"] = "external_ids_attributes"
    other_name: Literal["ignored", "refused"] = "ignored"
    external_ids: Literal["replace", "merge"] = "replace"
    external_ids_attributes: Literal["merge", "replace"] = "merge"
    no_external_ids: Literal["null", "empty"] = "null"
    unique_external_ids: Literal["in_company", "everywhere", "nowhere"] = "in_company"
    status_in_updates: Literal["changes", "ignored", "refused"] = "changes"
    deactivated_users: Literal["editable", "status_first", "status_alone"] = "editable"
    password: Literal["optional", "required"] = "optional"  # noqa: S105 - whether one is needed, not one
    username: Literal["kept", "dropped"] = "kept"
    phones: Literal["as_written", "digits"] = "as_written"
    emails: Literal["as_written", "lower_case"] = "as_written"
    licences: Literal["as_written", "bare_capitals"] = "as_written"
    license_states: LicenseStates = "as_written"
    external_ids_calls: Literal["there", "absent"] = "there"
    wrong_key: Literal[401, 403] = 401
    created_users: Literal["there", "not_there"] = "there"
    test_mode_create: Literal[200, 201] = 200
    longest_page: int = Field(default=100, ge=1)
    longer_pages: Literal["shortened", "refused"] = "shortened"
    list_order: Literal["by_id", "newest_first", "shuffled"] = "by_id"
    total: Literal["listed", "all_roles", "page", "missing", "zero"] = "listed"
    miss: Literal[404, 400, 200] = 404
    shown_after: float = Field(default=0.0, ge=0.0, le=3600.0)

    def names(self, *, in_create: bool) -> frozenset[str]:
        """The names under which external ids are taken."""
        taken = self.names_in_creates if in_create else self.names_in_updates
        return frozenset(name for name in NAMES if taken in (name, "both"))
