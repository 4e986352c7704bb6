// Prints the state of every link, in the words of `driverlink status`: `node consumer.mjs SERVERS [TOPIC]`.
// It reads the topic of decisions from its beginning to its end, as docs/how-to/consuming.md says.
import { randomUUID } from "node:crypto";
import { Kafka, logLevel } from "kafkajs";

const DECIDED = { pending: true, held: false, parked: false };
const EFFECTS = {
  CreateDecided: DECIDED,
  LinkDecided: DECIDED,
  UpdateDecided: DECIDED,
  RenameDecided: DECIDED,
  ReinstateDecided: DECIDED,
  DeleteDecided: DECIDED,
  DeleteHeld: { held: true, pending: false, parked: false },
  DeleteApproved: { held: false, kept: false },
  DeleteRejected: { held: false, kept: true },
  DeleteRecalled: { held: false, kept: false },
  Parked: { parked: true, pending: false, held: false },
  Released: { parked: false },
  LinkErased: { parked: false, held: false, pending: false, linked: false, kept: false },
  Confirmed: { pending: false },
  Refused: { pending: false },
};

// The links of one partition, and how far its log was read in which epoch.
class Partition {
  epoch = undefined;
  former = new Set();
  last = 0n;
  links = new Map();

  take({ ce_epoch: epoch, ce_sequence: sequence, ce_type: type }, value) {
    if (epoch !== this.epoch && !this.former.has(epoch)) {
      this.former.add(this.epoch);
      [this.epoch, this.last, this.links] = [epoch, 0n, new Map()];
    }
    if (epoch !== this.epoch || BigInt(sequence) <= this.last) return; // sent before
    this.last = BigInt(sequence);
    const [family, name] = type.split(".");
    if (family === "DriverLink") {
      const key = [value.account, value.target, value.driver].join("/");
      const linked = name === "Confirmed" ? { linked: Boolean(value.key) } : {};
      this.links.set(key, { account: value.account, ...this.links.get(key), ...EFFECTS[name], ...linked });
    } else if (name === "ErasureBegan") {
      for (const [key, link] of this.links) if (link.account === value.account) this.links.delete(key);
    }
  }
}

const state = (link) =>
  ["parked", "held", "pending"].find((word) => link[word]) ??
  (link.linked ? (link.kept ? "kept" : "in_sync") : "ended");

const [servers, topic = "driver-links.decisions.v1"] = process.argv.slice(2);
const kafka = new Kafka({ brokers: servers.split(","), logLevel: logLevel.ERROR });
const admin = kafka.admin();
await admin.connect();
const ends = await admin.fetchTopicOffsets(topic);
const left = new Map(ends.filter(({ low, high }) => low !== high).map(({ partition, high }) => [partition, BigInt(high)]));
const partitions = new Map(ends.map(({ partition }) => [partition, new Partition()]));

const groupId = `links-${randomUUID()}`;
const consumer = kafka.consumer({ groupId });
await consumer.connect();
await consumer.subscribe({ topic, fromBeginning: true });
await new Promise((resolve, reject) => {
  consumer.on("consumer.crash", ({ payload }) => reject(payload.error));
  const eachMessage = async ({ partition, message }) => {
    const headers = Object.fromEntries(Object.entries(message.headers).map(([name, value]) => [name, String(value)]));
    partitions.get(partition).take(headers, JSON.parse(message.value));
    if (BigInt(message.offset) + 1n >= (left.get(partition) ?? 0n)) left.delete(partition);
    if (left.size === 0) resolve();
  };
  if (left.size === 0) resolve();
  else consumer.run({ autoCommit: false, eachMessage }).catch(reject);
});
await consumer.disconnect();
await admin.deleteGroups([groupId]);
await admin.disconnect();
const links = [...partitions.values()].flatMap((each) => [...each.links].map(([key, link]) => [key, state(link)]));
console.log(JSON.stringify(Object.fromEntries(links.sort()), null, 2));
