import { appendFile, readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { encodeFileVersion, encodeScalars } from "../../src/experiment/eventFile.ts";
import { Recorder } from "../../src/experiment/recorder.ts";
import { TensorboardLog, tensorboardFile } from "../../src/experiment/tensorboard.ts";
import { temporaryFolder } from "../support/folders.ts";
import { syntheticEvents } from "../support/records.ts";

/** Written by PyPI's tensorboard 2.21.0, `RecordWriter`, from the same two events. */
const golden =
  "1800000000000000a37f4b2209000000000000f83f1a0d627261696e2e4576656e743a322a28646c2a00000000000000ae8d91f509000000000000044010ac022a1c0a100a094c6f73735f4d422f61150000803e0a080a016215000040c061de1cb9";

test("records are those that TensorBoard's own writer makes", () => {
  const scalars = [
    { tag: "Loss_MB/a", value: 0.25 },
    { tag: "b", value: -3 },
  ];
  const bytes = [
    encodeFileVersion("1970-01-01T00:00:01.500Z"),
    encodeScalars("1970-01-01T00:00:02.500Z", 300, scalars),
  ];
  expect(Buffer.concat(bytes).toString("hex")).toBe(golden);
});

/** The tags that stand in a file. */
function tagsIn(bytes: Uint8Array): readonly string[] {
  const text = Buffer.from(bytes).toString("latin1");
  return [...new Set(text.match(/[A-Z][\w]*\/[\w/]+/g))].sort();
}

describe("a run's figures", () => {
  const events = syntheticEvents({ tasks: 2, stepsPerTask: 4, epochs: 1, routed: true });

  test("stand under tags like Avalanche's", () => {
    const log = new TensorboardLog();
    const bytes = Buffer.concat(events.map((event) => log.encode(event)));
    expect(tagsIn(bytes)).toEqual(
      expect.arrayContaining([
        "Loss_Epoch/train_phase/train_stream/Task001",
        "Loss_MB/train_phase/train_stream/Task000",
        "StreamForgetting/eval_phase/test_stream",
        "Top1_Acc_Exp/eval_phase/test_stream/Task000/Exp001",
        "Top1_Acc_Exp/eval_phase/test_stream/Task000/Exp001/til",
        "Top1_Acc_Stream/eval_phase/test_stream/Task000",
        "Top1_Acc_Stream/eval_phase/test_stream/Task000/routed",
      ]),
    );
  });

  test("are the same bytes in a run that was interrupted, whatever was torn", async () => {
    const [whole, broken] = [await temporaryFolder(), await temporaryFolder()];
    const read = (folder: string) => readFile(join(folder, tensorboardFile));
    {
      await using recorder = await Recorder.open(whole);
      for (const event of events) await recorder.record(event);
    }
    for (const [from, to] of [
      [0, 5],
      [5, events.length],
    ]) {
      await using recorder = await Recorder.open(broken);
      for (const event of events.slice(from, to)) await recorder.record(event);
      await appendFile(join(broken, tensorboardFile), "torn");
    }
    const kept = await read(broken);
    expect(kept.subarray(0, -4).equals(await read(whole))).toBe(true);
  });
});
