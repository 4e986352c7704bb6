"""The journal is bounded: it keeps its newest entries, and says how many it dropped."""

from services.sandbox.journal import Effect, Journal, Seen, Write


def written(journal: Journal, *keys: str) -> None:
    for key in keys:
        effect = Effect(after=Seen(key=key, status=1), created=True)
        journal.record(at=1, method="POST", path="/drivers", status=200, write=Write(owner="acme", effects=[effect]))


def shown(journal: Journal, after: int = 0, limit: int = 100) -> list[tuple[object, object]]:
    return [(entry["number"], entry["driver"]) for entry in journal.shown(after=after, limit=limit)]


def test_a_full_journal_keeps_its_newest_entries_and_their_numbers() -> None:
    journal = Journal("tenant", longest=3)
    written(journal, "a", "b", "c")
    assert (journal.last, journal.dropped) == (3, 0)
    written(journal, "d", "e")
    assert (journal.last, journal.dropped) == (5, 2)
    assert shown(journal) == shown(journal, after=2) == [(3, "c"), (4, "d"), (5, "e")]
    assert shown(journal, after=3, limit=1) == [(4, "d")]
    assert shown(journal, after=5) == []


def test_a_seeding_drops_nothing_that_counts() -> None:
    journal = Journal("tenant", longest=2)
    written(journal, "a", "b", "c")
    journal.forget()
    assert (journal.last, journal.dropped, shown(journal)) == (3, 0, [])
    written(journal, "d")
    assert (journal.last, journal.dropped, shown(journal)) == (4, 0, [(4, "d")])
