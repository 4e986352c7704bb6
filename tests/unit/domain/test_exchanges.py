"""What is exchanged with a target is noted by who wants to know of it."""

from domain.ports import MOST_EXCHANGES, Exchange, note_exchange, noted_exchanges

ASKED = Exchange(method="GET", route="/v1/users/{id}", status=200, code="", milliseconds=12)


def test_exchanges_are_noted_in_their_order_while_somebody_asks() -> None:
    refused = Exchange(method="PUT", route="/v1/users/{id}", status=422, code="invalid", milliseconds=30)
    note_exchange(ASKED)
    with noted_exchanges() as found:
        note_exchange(ASKED)
        note_exchange(refused)
    note_exchange(ASKED)
    assert found == [ASKED, refused]
    assert refused.to_json() == {
        "method": "PUT",
        "route": "/v1/users/{id}",
        "status": 422,
        "code": "invalid",
        "milliseconds": 30,
    }


def test_no_more_than_so_much_is_noted() -> None:
    with noted_exchanges() as found:
        for _ in range(MOST_EXCHANGES + 1):
            note_exchange(ASKED)
    assert found == [ASKED] * MOST_EXCHANGES
