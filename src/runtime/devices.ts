/** Devices that graphs are computed on: each is tried once before anything relies on it. */
import { ConfigError, EngineError, messageOf } from "../core/errors.ts";
import { nodeRuntimes } from "./node.ts";
import { requireCorrect } from "./selfTest.ts";
import type { Device, Runtime } from "./types.ts";

async function tried(device: Device): Promise<Runtime> {
  const runtime = nodeRuntimes[device];
  try {
    await requireCorrect(runtime);
  } catch (cause) {
    if (cause instanceof EngineError && cause.hint !== undefined) throw cause;
    throw new ConfigError(`device: ${device} cannot be used on this machine: ${messageOf(cause)}`, {
      cause,
      hint: "Use device: cpu. `accrete doctor` says which devices there are.",
    });
  }
  return runtime;
}

const opened = new Map<Device, Promise<Runtime>>();

/**
 * The runtime of a device, which has computed a small graph correctly in this process. The processor is what everything else was
 * checked on, and is not tried again.
 * @throws ConfigError where there is no such device, EngineError where it computes wrongly
 */
export function openDevice(device: Device = "cpu"): Promise<Runtime> {
  const runtime =
    opened.get(device) ?? (device === "cpu" ? Promise.resolve(nodeRuntimes.cpu) : tried(device));
  opened.set(device, runtime);
  return runtime;
}
