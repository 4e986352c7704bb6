"""What was exchanged with a target is kept with the outcome, and says nothing about anybody."""

from domain.outcomes import CallAnswered
from domain.profile import FIELDS
from tests.golden.made_capsules import told
from tests.support.stepped_services import logged

ROUTES = {
    "/v1/auth/tokens",
    "/v1/auth/token",
    "/v1/tenants/{tenant}/configurations",
    "/v1/tenants/{tenant}/driver",
    "/v1/tenants/{tenant}/drivers",
    "/v1/tenants/{tenant}/drivers/{driver}",
    "/v1/users",
    "/v1/users/{user}",
    "/v1/users/lookup",
    "/v1/users/lookup_by_external_id",
    "/v1/external_ids/{record}",
}


def test_each_outcome_has_its_requests_in_order() -> None:
    with told("re-hire") as fleet:
        answers = [
            each
            for store in fleet.services.projector_stores.values()
            for each in logged(store)
            if isinstance(each, CallAnswered)
        ]
        fields = {text for each in answers for name, text in each.profile.items() if name in FIELDS}
    assert len(answers) == 6
    for answer in answers:
        assert answer.exchanges
        assert {each["route"] for each in answer.exchanges} <= ROUTES
        assert {each["code"] for each in answer.exchanges} <= {"", "DRIVER_NOT_FOUND"}
        told_words = {word for each in answer.exchanges for word in str(each["route"]).split("/")}
        assert not told_words & {*fields, answer.driver, answer.key}
    created = next(each for each in answers if each.target == "motive" and each.decision == 1)
    assert created.exchanges
    first = created.exchanges[0]
    assert (first["method"], first["route"], first["status"], first["code"]) == ("POST", "/v1/users", 201, "")


def test_a_request_without_an_answer_has_no_status_and_a_refusal_has_the_vendors_code() -> None:
    with told("timeout") as fleet:
        (answered,) = [
            each
            for store in fleet.services.projector_stores.values()
            for each in logged(store)
            if isinstance(each, CallAnswered) and (each.driver, each.target) == ("p1", "driveri")
        ]
    assert answered.exchanges
    assert [(each["method"], each["status"]) for each in answered.exchanges] == [("POST", 0), ("GET", 200)]
    with told("refused") as fleet:
        (refused,) = [
            each
            for store in fleet.services.projector_stores.values()
            for each in logged(store)
            if isinstance(each, CallAnswered) and (each.outcome, each.target) == ("refused", "driveri")
        ]
    assert refused.exchanges
    assert [(each["method"], each["status"], each["code"]) for each in refused.exchanges] == [("PUT", 400, "NOT_NOW")]
