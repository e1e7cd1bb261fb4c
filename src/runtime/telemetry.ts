/**
 * Turns the engine's telemetry off, which its Linux package has on: it would read the machine's id and the command line,
 * keep events under the user's cache folder, and look up a foreign host. It asks the environment when it is loaded, so
 * this is imported before the engine, and by every entry point: a worker's `process.env` is a copy.
 */
import { isMainThread } from "node:worker_threads";
import { EngineError } from "../core/errors.ts";

const name = "ORT_DISABLE_TELEMETRY";

/** What native code sees, whatever `process.env` says here. */
function nativeValue(): unknown {
  const report: unknown = process.report.getReport();
  if (typeof report !== "object" || report === null || !("environmentVariables" in report)) return undefined;
  const { environmentVariables: all } = report;
  return typeof all === "object" && all !== null && name in all ? Reflect.get(all, name) : undefined;
}

process.env[name] = "1";

if (!isMainThread && nativeValue() !== "1")
  throw new EngineError("the engine's telemetry cannot be turned off from within a worker", {
    hint: `Import accrete-lm in the main thread before the worker is made, or start Node with ${name}=1.`,
  });
