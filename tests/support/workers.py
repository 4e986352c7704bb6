"""Runs tests in several processes, forked from one that has collected all of them: `pytest --workers 4`.

Each is handed a file at a time, or all files that share a browser. Half of them begin with the first files, whose
tests mostly wait for other processes, and half with the last ones, whose tests compute, so that the machine is busy
until they meet.
"""

import os
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe, wait
from pathlib import Path
from typing import Any, Final

import pytest

_FIRST: Final = ("upgrade", "browser", "system")
"""Folders whose files take long; the longest come first, so that no process is left alone with one in the end."""

_SHARING: Final = "browser"
"""The folder whose files share what takes long to begin."""

_OF_THE_FIRST_PROCESS: Final = ("terminalreporter", "lfplugin", "nfplugin")
"""Plugins that speak to a person, or remember what failed."""

Files = Sequence[Sequence[pytest.Item]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """A process that is handed numbers of files, and answers with reports, and with None behind those of a file."""

    process: int
    connection: "Connection[Any, Any]"
    begins_with_the_last: bool

    def hand(self, left: deque[int]) -> bool:
        """Hand it another file; False if none is left."""
        if left:
            self.connection.send(left.pop() if self.begins_with_the_last else left.popleft())
            return True
        self.connection.close()
        return False


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--workers`."""
    parser.addoption("--workers", type=int, default=0, help="run the tests in this many processes")


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    """Have the tests run by workers; each of them comes out of here as well, and ends as pytest does."""
    option = session.config.option
    if not option.workers or option.collectonly or session.testsfailed:
        return None
    files = _files(session.items)
    hired: list[Worker] = []
    for number in range(option.workers):
        ours, its = Pipe()
        if not (process := os.fork()):
            for connection in (ours, *(worker.connection for worker in hired)):
                connection.close()
            _work(session, its, files)
            return True
        its.close()
        hired.append(Worker(process=process, connection=ours, begins_with_the_last=number % 2 == 1))
    try:
        _report(session, hired, deque(range(len(files))))
    finally:
        for worker in hired:
            worker.connection.close()
        ended = {os.waitstatus_to_exitcode(os.waitpid(worker.process, 0)[1]) for worker in hired}
    if not ended <= {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED if session.testsfailed else pytest.ExitCode.OK}:
        raise session.Interrupted(f"the workers ended with {sorted(ended)}")
    return True


def _files(items: Sequence[pytest.Item]) -> Files:
    files: dict[Path, list[pytest.Item]] = {}
    for item in sorted(items, key=_turn):
        files.setdefault(item.path.parent if item.path.parent.name == _SHARING else item.path, []).append(item)
    return list(files.values())


def _turn(item: pytest.Item) -> int:
    return next((number for number, folder in enumerate(_FIRST) if folder in item.path.parts), len(_FIRST))


def _report(session: pytest.Session, hired: Sequence[Worker], left: deque[int]) -> None:
    """Hand out all files, and report what comes of them, as if it had happened here."""
    hook = session.config.hook
    busy = [worker for worker in hired if worker.hand(left)]
    while busy:
        answering = wait([worker.connection for worker in busy])
        for worker in [worker for worker in busy if worker.connection in answering]:
            try:
                answer = worker.connection.recv()
            except EOFError:
                raise session.Interrupted("a worker ended before its tests did") from None
            if answer is not None:
                report = hook.pytest_report_from_serializable(config=session.config, data=answer)
                hook.pytest_runtest_logreport(report=report)
            elif not worker.hand(left):
                busy.remove(worker)
            if session.shouldfail:
                raise session.Failed(session.shouldfail)


def _work(session: pytest.Session, connection: "Connection[Any, Any]", files: Files) -> None:
    """Run the files that are handed over, until there are no more."""
    plugins = session.config.pluginmanager
    for name in _OF_THE_FIRST_PROCESS:
        plugins.unregister(name=name)
    plugins.register(_Answers(session.config, connection))
    # What tests print is captured in a file, and would be in that of all.
    capturing = plugins.getplugin("capturemanager")
    capturing.stop_global_capturing()
    capturing.start_global_capturing()
    with suppress(EOFError, BrokenPipeError):
        while True:
            items = files[connection.recv()]
            # Behind the last comes another file of the same session, whichever it is.
            for item, following in zip(items, [*items[1:], session], strict=True):
                session.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
                if session.shouldfail:
                    return
            connection.send(None)


class _Answers:
    """Sends every report of this process to the first one."""

    def __init__(self, config: pytest.Config, connection: "Connection[Any, Any]") -> None:
        self._config = config
        self._connection = connection

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A test was set up, run, or torn down."""
        self._connection.send(self._config.hook.pytest_report_to_serializable(config=self._config, report=report))
