/**
 * The transformers.js side of `bench/encode.ts`: texts of a file to unit vectors, in batches of 32 of like length, which it does not make
 * by itself: `node bench/peers/encode_worker.mjs FOLDER-WITH-NODE_MODULES MODEL TEXTS THREADS`. Speaks the lines of `peft_worker.py`.
 */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, dirname, resolve } from "node:path";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const [packages = ".", model = "", file = "", threads = "2"] = process.argv.slice(2);
const found = createRequire(`${resolve(packages)}/`).resolve("@huggingface/transformers");
const { env, pipeline } = await import(pathToFileURL(found).href);
env.allowRemoteModels = false;
env.localModelPath = `${dirname(resolve(model))}/`;
const session_options = { intraOpNumThreads: Number(threads), interOpNumThreads: 1 };
const extract = await pipeline("feature-extraction", basename(model), { dtype: "fp32", session_options });
const texts = JSON.parse(readFileSync(file, "utf8")).sort((a, b) => a.length - b.length);
const reply = (message) => process.stdout.write(`${JSON.stringify(message)}\n`);
const peakRssBytes = () =>
  Number(/VmHWM:\s+(\d+)/.exec(readFileSync("/proc/self/status", "utf8"))?.[1] ?? 0) * 1024;

reply({ ready: true, versions: { "transformers.js": env.version }, peakRssBytes: peakRssBytes() });
for await (const line of createInterface({ input: process.stdin })) {
  const { steps = 0, quit = false } = JSON.parse(line);
  if (quit) break;
  const seconds = [];
  const cpuSeconds = [];
  for (let i = 0; i < steps; i++) {
    const [start, before] = [performance.now(), process.cpuUsage()];
    for (let from = 0; from < texts.length; from += 32)
      await extract(texts.slice(from, from + 32), { pooling: "mean", normalize: true });
    seconds.push((performance.now() - start) / 1000);
    const { user, system } = process.cpuUsage(before);
    cpuSeconds.push((user + system) / 1e6);
  }
  reply({ seconds, cpuSeconds, peakRssBytes: peakRssBytes() });
}
