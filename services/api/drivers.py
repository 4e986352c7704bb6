"""What the Portal states of an account's drivers: lists, and single changes."""

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import asdict
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from domain.cleaning import LONGEST_ID, clean, flaw, normal_form, to_iana
from domain.identity import AccountId, PortalDriverId
from domain.portal import RefusedLine
from domain.ports import NO_ID, PortalLine
from domain.profile import FIELDS, Profile, StatedProfile
from services.api.routing import Installed, KnownAccount, new_router
from services.api.schema import Malformed, Named, RequestBody, ResponseBody, Storable
from services.intake.handlers import Intake, Reviewed, UnknownDriver, new_snapshot
from services.runtime.context import utc_now

_COMMAND = "command line"


router = new_router("drivers", prefix="/accounts/{account}")


class StatedLine(RequestBody):
    """A line of a list. A refused one has no profile, but may name its driver."""

    line: int
    driver: Named | None = None
    profile: dict[str, str] = Field(default_factory=dict)


class TakeList(RequestBody):
    """A part of a list of drivers; `snapshot` names the full snapshot that it is part of.

    `review`: answer what would become of it, and store nothing.
    """

    lines: tuple[StatedLine, ...] = Field(max_length=5000)
    source: Named = "export"
    snapshot: Named | None = None
    review: bool = False


class ReKeyed(RequestBody):
    """A driver that a list would re-key, and the identifiers that it would have."""

    driver: Named
    after: dict[Storable, Storable]


class JudgeList(RequestBody):
    """What the review of all parts of a list has found; see `services.intake.handlers.Reviewed`."""

    rekeyed: tuple[ReKeyed, ...] = ()
    new: tuple[Named, ...] = ()
    shown: tuple[Named, ...] = ()
    refused: tuple[StatedLine, ...] = ()
    complete: bool = False
    may_lack_many: bool = False
    approve: str | None = None
    dry_run: bool = False
    source: Named = "export"


class FinishSnapshot(RequestBody):
    """The list was read to its end; `refused` are lines that name a driver and could not be accepted.

    `may_lack_many`: a person confirms that this many drivers have really left.
    """

    snapshot: Named
    source: Named = "export"
    refused: tuple[StatedLine, ...] = ()
    may_lack_many: bool = False


class StateDriver(RequestBody):
    """One driver, from the command line. `create` and `update` say what the caller believes to be the case."""

    action: Literal["create", "update", "delete"]
    driver: Named
    profile: dict[str, str] = Field(default_factory=dict)


class ListedDifference(ResponseBody):
    """What a list changes of one driver: the change, its fields, and the identifiers before and after."""

    driver: str
    change: str
    fields: tuple[str, ...]
    before: dict[str, str]
    after: dict[str, str]
    is_new: bool
    is_rekeying: bool


class ListResult(ResponseBody):
    """What became of a list: how many changes of each kind, the refused lines, and the drivers that it changes.

    Of the fields only names and identifiers are shown.
    """

    changes: dict[str, int]
    refused: list[RefusedLine]
    differences: list[ListedDifference]


class ListReview(ListResult):
    """What would become of a list; `shown` are the drivers that it may be about."""

    shown: Annotated[list[str], BeforeValidator(sorted)]


class ListJudgement(ResponseBody):
    """Whether a list may be accepted; see `services.intake.handlers.Judgement`.

    `snapshot` is a name for it as a full snapshot, if it is one.
    """

    is_held: bool
    digest: str
    rekeyed: int
    replaced: int
    known: int
    lacking: int
    counted: int
    limit: int
    absent: ListResult
    snapshot: str


class StatedChange(ResponseBody):
    """The change that one driver's statement came to."""

    account: str
    driver: str
    change: str


@router.post("/lists")
async def accept_list(body: TakeList, known: KnownAccount, installation: Installed) -> ListReview | ListResult:
    """Accept a part of a list, or review it."""
    intake, service, lines = installation.intake, installation.intake_service, _stated(body.lines)
    if body.review:
        reviewed = await service.call(intake.review, known.account, lines, source=body.source)
        return ListReview.model_validate(reviewed, from_attributes=True)
    taken = await service.call_again(intake.take_list, known.account, lines, source=body.source, snapshot=body.snapshot)
    service.notify()
    return ListResult.model_validate(taken, from_attributes=True)


@router.post("/lists/judgement")
async def judge_list(body: JudgeList, known: KnownAccount, installation: Installed) -> ListJudgement:
    """Judge whether a list that was reviewed may be accepted."""
    reviewed = Reviewed(
        rekeyed=[(PortalDriverId(each.driver), each.after) for each in body.rekeyed],
        new=frozenset(map(PortalDriverId, body.new)),
        shown=frozenset(map(PortalDriverId, body.shown)),
        refused=_stated(body.refused),
        is_complete=body.complete,
        may_lack_many=body.may_lack_many,
        approve=body.approve,
        is_dry=body.dry_run,
    )
    judgement, absent = await installation.intake_service.call_again(
        installation.intake.judge, known.account, reviewed, source=body.source
    )
    return ListJudgement(
        **asdict(judgement),
        absent=ListResult.model_validate(absent, from_attributes=True),
        snapshot=new_snapshot(utc_now()),
    )


@router.post("/snapshots")
async def finish_snapshot(body: FinishSnapshot, known: KnownAccount, installation: Installed) -> ListResult:
    """Finish a full snapshot: the drivers that it lacks count as missed."""
    taken = await installation.intake_service.call_again(
        installation.intake.finish_snapshot,
        known.account,
        source=body.source,
        snapshot=body.snapshot,
        refused=_stated(body.refused),
        may_lack_many=body.may_lack_many,
    )
    installation.intake_service.notify()
    return ListResult.model_validate(taken, from_attributes=True)


@router.post("/drivers")
async def state_driver(body: StateDriver, known: KnownAccount, installation: Installed) -> StatedChange:
    """State one driver."""
    driver = PortalDriverId(normal_form("driver", body.driver))
    change = await installation.intake_service.call_again(
        _state_driver, installation.intake, known.account, driver, body
    )
    installation.intake_service.notify()
    return StatedChange(account=known.account, driver=driver, change=change)


def _state_driver(intake: Intake, account: AccountId, driver: PortalDriverId, body: StateDriver) -> str:
    if body.action == "delete":
        return intake.delete(account, driver, source=_COMMAND)
    if reason := flaw("driver", body.driver):
        raise Malformed(f"driver {reason}")
    stated = StatedProfile(fields=_checked(body.profile))
    before: Profile = {}
    if body.action == "update":
        before = intake.show(account, driver).profile or {}
    else:
        with suppress(UnknownDriver):
            intake.show(account, driver)
            raise Malformed(f"the Portal has driver {driver} already; use `driverlink drivers update`")
    after = stated.onto(before)
    if not after.get("first_name") or not after.get("last_name"):
        raise Malformed("a driver needs a first name and a last name")
    return intake.state(account, driver, stated, source=_COMMAND)


def _stated(lines: tuple[StatedLine, ...]) -> list[PortalLine]:
    """The lines of a list. Raises `Malformed` for a field that there is not."""
    _check_known({field for line in lines for field in line.profile})
    return [
        PortalLine(
            line=line.line,
            driver=PortalDriverId(line.driver or NO_ID),
            profile=StatedProfile(fields=line.profile),
        )
        for line in lines
    ]


def _checked(profile: dict[str, str]) -> dict[str, str]:
    """The fields as they are stored. Raises `Malformed` for the first that is refused, by the checks of all inputs."""
    _check_known(profile.keys())
    if found := next(flaws_of(profile), None):
        raise Malformed(" ".join(found))
    return stored_form(profile)


def flaws_of(profile: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The fields that cannot be stored as they are stated, each with the first reason."""
    for field in FIELDS:
        if field in profile and (reason := flaw(field, profile[field])):
            yield field, reason


def stored_form(profile: Mapping[str, str]) -> dict[str, str]:
    """Fields without a flaw, as they are stored."""
    cleaned = {field: normal_form(field, text) for field, text in profile.items()}
    zone = cleaned.get("time_zone")
    return {**cleaned, "time_zone": to_iana(zone) or ""} if zone else cleaned


def _check_known(fields: AbstractSet[str]) -> None:
    if unknown := sorted(fields - set(FIELDS)):
        raise Malformed(f"unknown field {clean(unknown[0], LONGEST_ID)}; there are: {', '.join(FIELDS)}")
