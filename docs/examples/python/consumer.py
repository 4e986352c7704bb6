"""The state of every link, as docs/how-to/consuming.md says: `python consumer.py SERVERS [TOPIC]`, with aiokafka."""

import asyncio
import json
import sys
from collections import defaultdict

from aiokafka import AIOKafkaConsumer

DECISIONS = [f"{name}Decided" for name in ("Create", "Link", "Update", "Rename", "Reinstate", "Delete")]
EFFECTS = {  # what an event makes true of a link, and what it makes false
    **dict.fromkeys(DECISIONS, ({"pending"}, {"held", "parked"})),
    "DeleteHeld": ({"held"}, {"pending", "parked"}),
    "DeleteRejected": ({"kept"}, {"held"}),
    **dict.fromkeys(["DeleteApproved", "DeleteRecalled"], (set(), {"held", "kept"})),
    "Parked": ({"parked"}, {"pending", "held"}),
    "Released": (set(), {"parked"}),
    "Confirmed": ({"linked"}, {"pending"}),
    "Gone": (set(), {"pending", "linked"}),
    "Refused": (set(), {"pending"}),
    "LinkErased": (set(), {"parked", "held", "pending", "linked", "kept"}),
}


class Partition:
    epochs, last, links = (), 0, {}

    def take(self, headers, value):
        epoch, sequence, kind = headers.get("ce_epoch"), int(headers["ce_sequence"]), headers["ce_type"]
        if epoch not in self.epochs:
            self.epochs, self.last, self.links = (*self.epochs, epoch), 0, {}
        if epoch != self.epochs[-1] or sequence <= self.last:
            return
        self.last = sequence
        if kind == "Account.ErasureBegan":
            self.links = {key: link for key, link in self.links.items() if key[0] != value["account"]}
        elif kind.startswith("DriverLink."):
            key, name = (value["account"], value["target"], value["driver"]), kind.removeprefix("DriverLink.")
            true, false = EFFECTS.get(name if name != "Confirmed" or value["key"] else "Gone", (set(), set()))
            self.links[key] = self.links.get(key, set()) - false | true


def state(link):
    at_rest = "ended" if "linked" not in link else "kept" if "kept" in link else "in_sync"
    return next((word for word in ("parked", "held", "pending") if word in link), at_rest)


async def main(servers, topic="driver-links.decisions.v1"):
    partitions = defaultdict(Partition)
    async with AIOKafkaConsumer(topic, bootstrap_servers=servers, auto_offset_reset="earliest") as consumer:
        ends = await consumer.end_offsets(consumer.assignment())
        while any([await consumer.position(place) < end for place, end in ends.items()]):
            for place, records in (await consumer.getmany(timeout_ms=1000)).items():
                for record in records:
                    partitions[place].take({k: v.decode() for k, v in record.headers}, json.loads(record.value))
    print(json.dumps({"/".join(k): state(v) for each in partitions.values() for k, v in each.links.items()}, indent=2))


asyncio.run(main(*sys.argv[1:]))
