"""A value that a vendor refuses for its spelling is sent in another, and the one that has worked comes first."""

from collections.abc import Sequence

import httpx
import pytest

from adapters.http.client import Body, Call, Spellings

pytestmark = pytest.mark.anyio


def spelled(body: Body) -> Sequence[Body]:
    return [{"state": text} for text in {"CO": ("CO", "CO", "US-CO", "Colorado")}.get(str(body["state"]), ("??",))]


class Company:
    """Takes one spelling, and refuses the others with their text."""

    def __init__(self, taken: str) -> None:
        self._taken = taken
        self.sent: list[str] = []

    async def send(self, call: Call) -> httpx.Response:
        state = str((call.body or {})["state"])
        self.sent.append(state)
        return httpx.Response(200 if state == self._taken else 422, text=state)


async def written(company: Company, spellings: Spellings, *states: str) -> list[tuple[int, str]]:
    replies = [await spellings.write(company.send, Call(path="/", body={"state": state})) for state in states]
    return [(reply.status_code, reply.text) for reply in replies]


@pytest.fixture
def spellings() -> Spellings:
    return Spellings(spelled, is_refused=lambda reply: reply.status_code == httpx.codes.UNPROCESSABLE_ENTITY)


async def test_the_spelling_that_has_worked_is_sent_first_from_then_on(spellings: Spellings) -> None:
    company = Company("US-CO")
    assert await written(company, spellings, "CO", "CO") == [(200, "US-CO"), (200, "US-CO")]
    assert company.sent == ["CO", "US-CO", "US-CO"]


async def test_where_each_spelling_is_refused_the_first_refusal_counts(spellings: Spellings) -> None:
    company = Company("none of them")
    assert await written(company, spellings, "CO") == [(422, "CO")]
    assert company.sent == ["CO", "US-CO", "Colorado"]


async def test_a_value_with_one_spelling_changes_nothing_for_the_others(spellings: Spellings) -> None:
    company = Company("US-CO")
    await written(company, spellings, "CO", "elsewhere", "CO")
    assert company.sent == ["CO", "US-CO", "??", "US-CO"]
