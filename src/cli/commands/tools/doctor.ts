import { statfs } from "node:fs/promises";
import { availableParallelism, cpus, freemem, homedir, totalmem } from "node:os";
import { join } from "node:path";
import { z } from "zod";
import { AccreteError } from "../../../core/errors.ts";
import { collectVersions } from "../../../core/packageInfo.ts";
import { runModule } from "../../../core/worker.ts";
import { multipliesBytes, processorFlags, usefulFlags } from "../../../io/processor.ts";
import { formatBytes, formatPairs } from "../../terminal/format.ts";
import type { Terminal } from "../../terminal/terminal.ts";

export interface DoctorFlags {
  readonly json?: boolean;
  readonly online?: boolean;
}

interface Check {
  readonly name: string;
  readonly ok: boolean;
  readonly detail: string;
}

const leastNode = [20, 19] as const;
const hubUrl = "https://huggingface.co/api/models?limit=1";
const hubTimeoutMs = 5000;

function message(error: unknown): string {
  return error instanceof Error ? (error.message.split("\n")[0] ?? "") : String(error);
}

function checkNode(): Check {
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  const ok = major > leastNode[0] || (major === leastNode[0] && minor >= leastNode[1]);
  const wanted = ok ? "" : `; at least ${leastNode.join(".")} is needed`;
  return {
    name: "node",
    ok,
    detail: `${process.versions.node} (${process.platform} ${process.arch})${wanted}`,
  };
}

/** Compiles and runs x + x: shows that the engine's library loads on this machine. */
async function checkEngine(version: string): Promise<Check> {
  try {
    const [{ nodeRuntime }, op, { createGraph }, { float32 }] = await Promise.all([
      import("../../../runtime/node.ts"),
      import("../../../graph/ops.ts"),
      import("../../../graph/graph.ts"),
      import("../../../core/tensor.ts"),
    ]);
    const x = op.input("x", "float32", [2]);
    await using executable = await nodeRuntime.compile(createGraph({ y: op.add(x, x) }), { threads: 1 });
    const { y } = await executable.run({ x: float32([1, 2], [2]) });
    const ok = y?.data[0] === 2 && y.data[1] === 4;
    return {
      name: "engine",
      ok,
      detail: `onnxruntime-node ${version}, ${ok ? "a session runs" : "a session gives wrong values"}`,
    };
  } catch (error) {
    return {
      name: "engine",
      ok: false,
      detail: `onnxruntime-node ${version}, no session runs: ${message(error)}`,
    };
  }
}

function describeCpu(): Check {
  const flags = processorFlags();
  const useful = usefulFlags.filter((flag) => flags.has(flag));
  const found = flags.size === 0 ? "instruction sets unknown" : useful.join(" ") || "no AVX2, AVX-512 or AMX";
  const model = cpus()[0]?.model.trim() ?? "unknown";
  return { name: "cpu", ok: true, detail: `${availableParallelism()} cores, ${model}, ${found}` };
}

function describePrecision(): Check {
  const detail = multipliesBytes()
    ? "int8 runs here: precision: int8 is faster, auto chooses it"
    : "fp32 alone: this processor does not multiply bytes exactly, auto chooses fp32";
  return { name: "precision", ok: true, detail };
}

const deviceSchema = z.object({ state: z.enum(["right", "wrong", "absent"]), message: z.string() });

/** A GPU is no must: its absence is told, and is no fault. One that computes wrongly is. */
async function checkDevices(): Promise<Check> {
  try {
    const { state, message } = deviceSchema.parse(
      JSON.parse(await runModule("../../../runtime/deviceCheck", import.meta.url)),
    );
    const detail = {
      right: "cpu; webgpu: its self-test is right, use it by device: webgpu",
      wrong: `cpu; ${message}`,
      absent: "cpu; no GPU that WebGPU can use (Vulkan, Metal or Direct3D 12)",
    }[state];
    return { name: "devices", ok: state !== "wrong", detail };
  } catch {
    return { name: "devices", ok: false, detail: "cpu; webgpu: the driver of the GPU ended the process" };
  }
}

function describeMemory(): Check {
  // Below a container's limit the machine's own figure says nothing; without one, Node reports a huge number or 0.
  const limit = process.constrainedMemory();
  const total = limit > 0 && limit < totalmem() ? limit : totalmem();
  return { name: "memory", ok: true, detail: `${formatBytes(total)}, ${formatBytes(freemem())} free` };
}

async function describeDisk(): Promise<Check> {
  try {
    const { bavail, bsize } = await statfs(process.cwd());
    return { name: "disk", ok: true, detail: `${formatBytes(bavail * bsize)} free in ${process.cwd()}` };
  } catch (error) {
    return { name: "disk", ok: true, detail: `unknown: ${message(error)}` };
  }
}

function describeCaches(): Check {
  const { HF_HOME, HF_HUB_CACHE, XDG_CACHE_HOME } = process.env;
  const cache = XDG_CACHE_HOME || join(homedir(), ".cache");
  const hub = HF_HUB_CACHE || join(HF_HOME || join(cache, "huggingface"), "hub");
  return { name: "caches", ok: true, detail: `models ${hub}, hashes ${join(cache, "accrete")}` };
}

async function checkHub(online: boolean): Promise<Check> {
  if (!online) return { name: "hub", ok: true, detail: "not asked (--online asks)" };
  try {
    const response = await fetch(hubUrl, { signal: AbortSignal.timeout(hubTimeoutMs) });
    return { name: "hub", ok: response.ok, detail: `huggingface.co answers ${response.status}` };
  } catch (error) {
    return { name: "hub", ok: false, detail: `huggingface.co cannot be reached: ${message(error)}` };
  }
}

/** Looks at the machine. @throws AccreteError (exit 1) after the table, where something would keep a run from working. */
export async function doctorCommand(flags: DoctorFlags, terminal: Terminal): Promise<void> {
  const versions = collectVersions();
  const checks: Check[] = [
    { name: "accrete", ok: true, detail: versions.accrete },
    checkNode(),
    await checkEngine(versions.engine),
    describeCpu(),
    describePrecision(),
    await checkDevices(),
    describeMemory(),
    await describeDisk(),
    describeCaches(),
    await checkHub(flags.online === true),
  ];
  const ok = checks.every((check) => check.ok);
  terminal.out(
    flags.json === true
      ? `${JSON.stringify({ ok, checks })}\n`
      : formatPairs(checks.map(({ name, ok: good, detail }) => [`${good ? "ok" : "NO"} ${name}`, detail])),
  );
  if (!ok) throw new AccreteError("DOCTOR", "something is missing; see the lines marked NO");
}
