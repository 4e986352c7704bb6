"""The AsyncAPI document is one: by the schema of AsyncAPI itself, and by its official parser."""

import json
from pathlib import Path

import jsonschema_rs

from docs.generate import DOCS
from domain.store import Event
from services.views.link_states import TYPE
from tests.support import node

_FOLDER = Path(__file__).parent / "asyncapi"
_DOCUMENT = DOCS / "reference" / "asyncapi.json"


def test_it_is_an_asyncapi_document_by_the_published_schema() -> None:
    schema = json.loads((_FOLDER / "asyncapi-3.0.0.json").read_text("utf-8"))
    document = json.loads(_DOCUMENT.read_text("utf-8"))
    validator = jsonschema_rs.Draft7Validator(schema)
    validator.validate(document)
    assert not validator.is_valid({**document, "channels": {"accounts.v1": {"address": 7}}})


def test_the_official_parser_reads_it_without_complaint_and_refuses_what_is_not_one(tmp_path: Path) -> None:
    document = json.loads(_DOCUMENT.read_text("utf-8"))
    document["operations"]["send.accounts.v1"]["channel"]["$ref"] = "#/channels/nowhere"
    broken = tmp_path / "broken.json"
    broken.write_text(json.dumps(document), "utf-8")
    ours, refused = json.loads(node.run(_FOLDER / "validate.mjs", str(_DOCUMENT), str(broken)))
    assert [each for each in ours["said"] if each["code"] != "asyncapi-latest-version"] == []
    assert set(ours["messages"]) == {*Event.BY_TOPIC, TYPE}
    assert "invalid-ref" in {each["code"] for each in refused["said"] if each["severity"] == 0}
