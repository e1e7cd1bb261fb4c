/** Tries a device in a process of its own, where a driver may write to stderr or end the process: prints what it found as JSON. */
import { EngineError, messageOf } from "../core/errors.ts";
import { openDevice } from "./devices.ts";

/** @returns what stands on stdout */
async function found(): Promise<{ readonly state: "right" | "wrong" | "absent"; readonly message: string }> {
  try {
    const { name } = await openDevice("webgpu");
    return { state: "right", message: name };
  } catch (error) {
    return { state: error instanceof EngineError ? "wrong" : "absent", message: messageOf(error) };
  }
}

process.stdout.write(JSON.stringify(await found()));
