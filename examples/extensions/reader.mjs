// A format of one's own: files of lines with a label, a tab and a text.
import { createReadStream } from "node:fs";
import { createInterface } from "node:readline";
import { registerReader } from "accrete-lm/extend";

registerReader(
  "tabs",
  async function* read(path) {
    for await (const line of createInterface({ input: createReadStream(path), crlfDelay: Infinity })) {
      if (line === "") continue;
      const [label, text] = line.split("\t");
      yield { text, label };
    }
  },
  { extensions: [".tsv"] },
);
