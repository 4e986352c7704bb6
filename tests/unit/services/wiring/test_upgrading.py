"""What a store holds in another version is made again when it is opened, and nothing else is."""

from dataclasses import replace
from pathlib import Path

from domain.store import ReadModelVersion, Unit
from services.decider.read_models import DesiredRow, LinkRow
from services.runtime.read_models import ReadModel, stale
from services.wiring.rebuild import stale_models
from services.wiring.registry import SERVICES
from tests.support.stepped_services import SteppedServices, both_targets
from tests.unit.services.wiring.rebuilt import checked, opened, opened_stores


def tampered(folder: Path, *, older: tuple[str, ...]) -> None:
    """A link and a desired state that no log explains, and these tables are of an older version."""
    with opened(folder) as embedded:
        store, unit = embedded.decider_service.store, Unit()
        link = store.select(LinkRow, {"driver": "p4", "target": "driveri"})[0]
        unit.keep([replace(link, detail="tampered")])
        unit.keep([replace(store.select(DesiredRow, {"driver": "p4"})[0], sequence=99)])
        unit.keep(ReadModelVersion(name=name, version="0") for name in older)
        store.commit(unit)


def test_only_what_is_of_another_version_is_made_again(folder: Path) -> None:
    tampered(folder, older=("links",))
    with opened_stores(folder) as stores:
        store = stores["decider"]
        assert store.count(LinkRow, {"detail": "tampered"}) == {(): 0}
        assert [row.sequence for row in store.select(DesiredRow, {"driver": "p4"})] == [99]
        assert stale_models(stores) == {}


def test_nothing_is_made_again_when_every_version_is_the_same(folder: Path) -> None:
    tampered(folder, older=())
    with opened(folder) as embedded:
        assert embedded.decider_service.store.count(LinkRow, {"detail": "tampered"}) == {(): 1}


def test_work_goes_on_after_what_was_made_again(folder: Path) -> None:
    tampered(folder, older=tuple(row.TABLE for row in SERVICES["decider"].tables))
    with opened(folder):
        pass
    services = SteppedServices(folder, both_targets())
    services.decide()
    services.close()
    assert checked(folder) == []


def test_a_new_installation_is_of_this_version(tmp_path: Path) -> None:
    with opened_stores(tmp_path) as stores:
        assert stale_models(stores) == {}


def test_a_model_with_a_higher_version_or_other_columns_is_stale(folder: Path) -> None:
    with opened_stores(folder) as stores:
        store = stores["decider"]
        (model,) = (each for each in SERVICES["decider"].read_models if LinkRow in each.tables)
        assert stale(store, [model]) == []
        later = replace(model, version=model.version + 1)
        assert stale(store, [later]) == [later]
        assert ReadModel.version_of(model, LinkRow) != model.version_of(DesiredRow)
