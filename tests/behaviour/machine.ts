/** What the last bits of a computation hang on: the processor, the engine and Node's mathematics. */
import { readFileSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { cpus } from "node:os";
import { goldenPath } from "./golden.ts";

interface Machine {
  readonly processor: string;
  /** Those by which the engine chooses its kernels. */
  readonly features: readonly string[];
  readonly platform: string;
  readonly node: string;
  readonly engine: string;
}

const decisive =
  /^(sse4_1|fma|avx|avx2|avx512\w*|avx_vnni\w*|avx_ne_convert|amx_\w+|f16c|asimd\w*|sve\w*|bf16|i8mm)$/;

function processorFeatures(): string[] {
  try {
    const flags = /^(?:flags|Features)\s*:(.*)$/m.exec(readFileSync("/proc/cpuinfo", "utf8"))?.[1] ?? "";
    return [...new Set(flags.split(/\s+/).filter((flag) => decisive.test(flag)))].sort();
  } catch {
    return [];
  }
}

function engineVersion(): string {
  const path = createRequire(import.meta.url).resolve("onnxruntime-node/package.json");
  const { version }: { version: string } = JSON.parse(readFileSync(path, "utf8"));
  return version;
}

function thisMachine(): Machine {
  return {
    processor: cpus()[0]?.model ?? "unknown",
    features: processorFeatures(),
    platform: `${process.platform}-${process.arch}`,
    node: process.versions.node,
    engine: engineVersion(),
  };
}

async function recordedMachine(): Promise<Machine> {
  return JSON.parse(await readFile(goldenPath("machine"), "utf8"));
}

export async function recordMachine(): Promise<void> {
  await writeFile(goldenPath("machine"), `${JSON.stringify(thisMachine(), null, 2)}\n`);
}

/** Features decide, not the processor's name; of Node its major version. */
function isAlike(one: Machine, other: Machine): boolean {
  const key = ({ features, platform, node, engine }: Machine) =>
    JSON.stringify([features, platform, node.split(".")[0], engine]);
  return key(one) === key(other);
}

/** Whether goldens must be met to the bit here. */
export async function isRecordedHere(): Promise<boolean> {
  return isAlike(thisMachine(), await recordedMachine());
}
