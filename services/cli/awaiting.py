"""Waiting for sweeps that were requested, with a bar that shows how far each has come."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich.progress import Progress, TaskID

from services.cli.printing import progress_bar
from services.cli.reaching import Services

_LOOK_EVERY: Final = 0.3
"""Seconds between looks at how far sweeps have come."""

_OVER = ("done", "stopped")
_WORDS: Mapping[str, str] = {
    "waiting": "waits for its turn",
    "reading": "reading",
    "deciding": "deciding",
    "done": "done",
    "stopped": "cannot go on",
}

Json = dict[str, Any]


async def wait_for_sweeps(
    services: Services, account: str, requests: Sequence[Json], *, driver: str | None = None, is_quiet: bool
) -> list[Json]:
    """What came of these requests (target, request), in their order, once each is done or kept from going on.

    Raises `CommandRefused`.
    """
    with progress_bar(is_quiet=is_quiet) as progress:
        bars = [progress.add_task(_told(each["target"], "waiting"), total=None, note="") for each in requests]
        while True:
            found = [await _look(services, account, each, driver) for each in requests]
            for bar, each in zip(bars, found, strict=True):
                _show(progress, bar, each)
            if all(each["stage"] in _OVER for each in found):
                return found
            await asyncio.sleep(_LOOK_EVERY)


async def _look(services: Services, account: str, asked: Json, driver: str | None) -> Json:
    path = f"/accounts/{account}/sweeps/progress"
    return dict(await services.get(path, target=asked["target"], request=asked["request"], driver=driver))


def _show(progress: Progress, bar: TaskID, found: Json) -> None:
    is_over = found["stage"] in _OVER
    progress.update(
        bar,
        description=_told(found["target"], found["stage"]),
        total=1 if is_over else found["of"] or None,
        completed=1 if is_over else found["done"],
        note=_counted(found),
    )


def _told(target: str, stage: str) -> str:
    return f"{target}: {_WORDS[stage]}"


def _counted(found: Json) -> str:
    if not found["done"]:
        return ""
    about = "about " if found["stage"] == "reading" else ""
    return f"{found['done']} of {about}{found['of']}" if found["of"] else f"{found['done']}"
