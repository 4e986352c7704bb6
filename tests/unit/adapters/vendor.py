"""A vendor that says what it is set to say, and remembers what it was asked."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field

import httpx

Answer = Callable[[httpx.Request], httpx.Response]


def answer(status: int, body: object = None, headers: dict[str, str] | None = None) -> Answer:
    """An answer with a JSON body, or with an empty one."""
    content = b"" if body is None else json.dumps(body).encode()
    return lambda _: httpx.Response(status, content=content, headers=headers)


def page(status: int) -> Answer:
    """A web page in place of an answer."""
    return lambda _: httpx.Response(status, html="<html><body>This page has moved</body></html>")


def failure(error: type[httpx.TransportError]) -> Answer:
    """No answer at all."""

    def fail(request: httpx.Request) -> httpx.Response:
        raise error("scripted", request=request)

    return fail


@dataclass(slots=True)
class Vendor:
    """Answers each call, such as `GET /v1/users`, in the scripted order; the last answer stays.

    `otherwise` answers what is not scripted.
    """

    requests: list[httpx.Request] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    otherwise: Answer = field(default_factory=lambda: answer(404, {"message": "not scripted"}))
    _script: dict[str, list[Answer]] = field(default_factory=dict)

    def on(self, call: str, *answers: Answer) -> None:
        """What to answer from now on."""
        self._script[call] = list(answers)

    @property
    def transport(self) -> httpx.MockTransport:
        """The way to this vendor."""
        return httpx.MockTransport(self._answer)

    @property
    def calls(self) -> list[str]:
        """Method and path of every request, in order."""
        return [_call(request) for request in self.requests]

    def body(self, call: str) -> object:
        """The body of the last request of this call."""
        found = [request for request in self.requests if _call(request) == call]
        return json.loads(found[-1].content)

    def queries(self, call: str) -> list[dict[str, str]]:
        """The query of each request of this call."""
        return [dict(request.url.params) for request in self.requests if _call(request) == call]

    def clock(self) -> float:
        """The seconds that were waited for so far: no other time passes."""
        return sum(self.waits)

    async def pause(self, seconds: float) -> None:
        """Wait for no time, and remember for how long."""
        self.waits.append(seconds)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answers = self._script.get(_call(request), [self.otherwise])
        return (answers.pop(0) if len(answers) > 1 else answers[0])(request)


def _call(request: httpx.Request) -> str:
    return f"{request.method} {request.url.raw_path.decode().partition('?')[0]}"
