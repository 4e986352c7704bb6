// What the official parser says of AsyncAPI documents, as JSON: of each its diagnostics (severity 0 is an error), and
// the names of its messages.
import { readFileSync } from "node:fs";
import { Parser } from "@asyncapi/parser";

const parser = new Parser();
const read = [];
for (const path of process.argv.slice(2)) {
  const { document, diagnostics } = await parser.parse(readFileSync(path, "utf8"));
  const messages = document ? document.allMessages().map((message) => message.name()) : [];
  read.push({ said: diagnostics.map(({ severity, code, message }) => ({ severity, code, message })), messages });
}
process.stdout.write(JSON.stringify(read));
