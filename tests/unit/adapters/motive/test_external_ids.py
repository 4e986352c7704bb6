from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from adapters.motive.target import are_in_step, full_set, lost, new_ids, stale
from adapters.motive.wire import ExternalId, MotiveAccess, User, shown_ids

ACCESS = MotiveAccess(base_url="https://motive.test", api_key="hush")
PROFILE = {"portal_driver_id": "p-1", "driveri_driver_id": "A1"}


def entry(record: int | None, external_id: str, integration: str) -> ExternalId:
    return ExternalId(id=record, external_id=external_id, integration_name=integration)


def user(*entries: ExternalId) -> User:
    return User(id=17, role="driver", external_ids=entries)


PAYROLL = entry(2, "payroll-9", "payroll")


def test_a_new_user_gets_both_of_our_ids() -> None:
    assert new_ids(PROFILE, ACCESS) == [
        {"external_id": "p-1", "integration_name": "gps_portal"},
        {"external_id": "A1", "integration_name": "driveri"},
    ]
    assert new_ids({"portal_driver_id": "p-1"}, ACCESS) == new_ids(PROFILE, ACCESS)[:1]


def test_the_full_set_keeps_the_others_and_replaces_ours_in_place() -> None:
    assert full_set(user(entry(1, "old", "gps_portal"), PAYROLL), PROFILE, ACCESS) == [
        {"id": 2, "external_id": "payroll-9", "integration_name": "payroll"},
        {"id": 1, "external_id": "p-1", "integration_name": "gps_portal"},
        {"external_id": "A1", "integration_name": "driveri"},
    ]


def test_the_full_set_prefers_the_record_that_is_right_already() -> None:
    twice = user(entry(1, "old", "gps_portal"), entry(3, "p-1", "gps_portal"))
    assert full_set(twice, {"portal_driver_id": "p-1"}, ACCESS) == [
        {"id": 3, "external_id": "p-1", "integration_name": "gps_portal"}
    ]


def test_the_full_set_never_sends_null() -> None:
    nameless = ExternalId(id=5, external_id="x", integration_name=None)
    assert full_set(user(nameless), {}, ACCESS) == [{"id": 5, "external_id": "x"}]


def test_an_entry_of_ours_that_is_not_desired_for_is_stale() -> None:
    old = entry(4, "A0", "driveri")
    carried = user(entry(1, "p-1", "gps_portal"), PAYROLL, old)
    assert stale(carried, {"portal_driver_id": "p-1"}, ACCESS) == [old]
    assert stale(carried, PROFILE, ACCESS) == [old]
    assert not are_in_step(carried, {"portal_driver_id": "p-1"}, ACCESS)


def test_a_profile_without_a_portal_driver_id_leaves_that_entry_alone() -> None:
    carried = user(entry(1, "p-1", "gps_portal"), entry(4, "A1", "driveri"))
    assert are_in_step(carried, {"driveri_driver_id": "A1"}, ACCESS)


def test_shown_ids_are_ours_only() -> None:
    assert shown_ids(user(PAYROLL, entry(4, "A1", "driveri")), ACCESS) == {"driveri_driver_id": "A1"}
    assert shown_ids(User(id=17), ACCESS) == {}


def test_only_entries_of_others_count_as_lost() -> None:
    before = user(entry(1, "p-1", "gps_portal"), PAYROLL)
    assert lost(before, user(), ACCESS) == [PAYROLL]
    assert lost(before, user(entry(9, "payroll-9", "payroll")), ACCESS) == []


integrations = st.sampled_from(["gps_portal", "driveri", "payroll", "fuel"])
carried_entries = st.lists(st.tuples(st.sampled_from("abc"), integrations), unique=True, max_size=6)
profiles = st.dictionaries(st.sampled_from(["portal_driver_id", "driveri_driver_id"]), st.sampled_from("abc"))


def written(entries: Sequence[dict[str, object]]) -> User:
    """The user once Motive has replaced all entries by these."""
    return user(
        *(TypeAdapter(ExternalId).validate_python({"id": 100 + number} | sent) for number, sent in enumerate(entries))
    )


@given(carried_entries, profiles)
def test_writing_the_full_set_loses_no_other_drivers_entry(
    carried: list[tuple[str, str]], profile: dict[str, str]
) -> None:
    before = user(*(entry(number, *pair) for number, pair in enumerate(carried)))
    after = written(full_set(before, profile, ACCESS))
    assert lost(before, after, ACCESS) == []
    assert are_in_step(after, profile, ACCESS)
