"""What the Portal states: lists of drivers, and single ones."""

from contextlib import suppress
from dataclasses import asdict, fields

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from domain.cleaning import LONGEST_ID, clean, flaw, normal_form
from domain.identity import AccountId, PortalDriverId
from domain.profile import FIELDS, Profile, StatedProfile
from domain.time_zones import to_iana
from services.accounts.handlers import account_of
from services.api.installation import Installation
from services.api.messages import FinishSnapshot, JudgeList, Malformed, StatedLine, StateDriver, TakeList, received
from services.intake.handlers import UnknownDriver
from services.intake.rekeying import Reviewed
from services.intake.statements import StatedDriver, Taken

_COMMAND = "command line"


class DriverRoutes:
    """Everything that is about the Portal's drivers of one account."""

    def __init__(self, installation: Installation) -> None:
        self._service = installation.intake_service
        self._intake = installation.intake
        self._readers = installation.readers

    def routes(self) -> list[Route]:
        """Where these questions are asked."""
        return [
            Route("/accounts/{account}/lists", self._take_list, methods=["POST"]),
            Route("/accounts/{account}/lists/judgement", self._judge, methods=["POST"]),
            Route("/accounts/{account}/snapshots", self._finish_snapshot, methods=["POST"]),
            Route("/accounts/{account}/changes", self._state, methods=["POST"]),
        ]

    async def _known_account(self, request: Request) -> AccountId:
        account = await self._readers.call(account_of, self._readers.accounts, request.path_params["account"])
        return account.account

    async def _take_list(self, request: Request) -> Response:
        account, asked = await self._known_account(request), await received(request, TakeList)
        if asked.review:
            reviewed = await self._service.call(self._intake.review, account, _stated(asked.lines), source=asked.source)
            return JSONResponse({**_to_json(reviewed), "shown": sorted(reviewed.shown)})
        taken = await self._service.call_again(
            self._intake.take_list, account, _stated(asked.lines), source=asked.source, snapshot=asked.snapshot
        )
        self._service.notify()
        return JSONResponse(_to_json(taken))

    async def _judge(self, request: Request) -> Response:
        account, asked = await self._known_account(request), await received(request, JudgeList)
        judgement = await self._service.call_again(self._intake.judge, account, _reviewed(asked), source=asked.source)
        figures = {each.name: getattr(judgement, each.name) for each in fields(judgement) if each.name != "absent"}
        return JSONResponse({**figures, "absent": _to_json(judgement.absent)})

    async def _finish_snapshot(self, request: Request) -> Response:
        account, asked = await self._known_account(request), await received(request, FinishSnapshot)
        taken = await self._service.call_again(
            self._intake.finish_snapshot,
            account,
            source=asked.source,
            snapshot=asked.snapshot,
            refused=_stated(asked.refused),
            may_lack_many=asked.may_lack_many,
        )
        self._service.notify()
        return JSONResponse(_to_json(taken))

    async def _state(self, request: Request) -> Response:
        account, asked = await self._known_account(request), await received(request, StateDriver)
        driver = PortalDriverId(normal_form("driver", asked.driver))
        change = await self._service.call_again(self._stated_change, account, driver, asked)
        self._service.notify()
        return JSONResponse({"account": account, "driver": driver, "change": change})

    def _stated_change(self, account: AccountId, driver: PortalDriverId, asked: StateDriver) -> str:
        if asked.action == "delete":
            return self._intake.delete(account, driver, source=_COMMAND)
        if reason := flaw("driver", asked.driver):
            raise Malformed(f"driver {reason}")
        stated = StatedProfile(fields=_checked(asked.profile))
        known = self._known_before(account, driver, is_new=asked.action == "create")
        after = stated.onto(known)
        if not after.get("first_name") or not after.get("last_name"):
            raise Malformed("a driver needs a first name and a last name")
        return self._intake.state(account, driver, stated, source=_COMMAND)

    def _known_before(self, account: AccountId, driver: PortalDriverId, *, is_new: bool) -> Profile:
        """What is known of the driver. Raises `UnknownDriver`, or `Malformed` where the driver should be a new one."""
        if not is_new:
            return self._intake.show(account, driver).profile or {}
        with suppress(UnknownDriver):
            self._intake.show(account, driver)
            raise Malformed(f"the Portal has driver {driver} already; use `driverlink drivers update`")
        return {}


def _stated(lines: tuple[StatedLine, ...]) -> list[StatedDriver]:
    return [
        StatedDriver(
            line=line.line,
            driver=PortalDriverId(line.driver) if line.driver else None,
            profile=StatedProfile(fields=line.profile),
        )
        for line in lines
    ]


def _checked(profile: dict[str, str]) -> dict[str, str]:
    """The fields as they are stored. Raises `Malformed` for the first that cannot stand, by the checks of all doors."""
    unknown = sorted(profile.keys() - set(FIELDS))
    if unknown:
        raise Malformed(f"unknown field {clean(unknown[0], LONGEST_ID)}; there are: {', '.join(FIELDS)}")
    flaws = ((field, flaw(field, profile[field])) for field in FIELDS if field in profile)
    if found := next(((field, reason) for field, reason in flaws if reason), None):
        raise Malformed(" ".join(found))
    cleaned = {field: normal_form(field, text) for field, text in profile.items()}
    zone = cleaned.get("time_zone")
    return {**cleaned, "time_zone": to_iana(zone) or ""} if zone else cleaned


def _reviewed(asked: JudgeList) -> Reviewed:
    return Reviewed(
        rekeyed=[(PortalDriverId(each.driver), each.after) for each in asked.rekeyed],
        new=frozenset(map(PortalDriverId, asked.new)),
        shown=frozenset(map(PortalDriverId, asked.shown)),
        refused=_stated(asked.refused),
        is_complete=asked.complete,
        may_lack_many=asked.may_lack_many,
        approve=asked.approve,
        is_dry=asked.dry_run,
    )


def _to_json(taken: Taken) -> dict[str, object]:
    """What became of a list, without what is in the fields."""
    return {
        "changes": dict(taken.changes),
        "refused": [asdict(line) for line in taken.refused],
        "differences": [{**asdict(each), "is_rekeying": each.is_rekeying} for each in taken.differences],
    }
