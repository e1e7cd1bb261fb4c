/** Checks the list of files that `npm pack --json` reports: what has to be there, what must not, and the size. */
import { readFileSync } from "node:fs";
import { z } from "zod";

/**
 * Above the embedded backbone's 7 MB, the command line's bundle of 3, the browser's of 3.5 with a tokenizer of its own, code, pages and demo; well below what
 * a stray model or data set would add.
 */
const largestBytes = 24_000_000;

const required = [
  "package.json",
  "README.md",
  "CHANGELOG.md",
  "LICENSE",
  "dist/index.js",
  "dist/index.d.ts",
  "dist/extend.js",
  "dist/extend.d.ts",
  "dist/server.js",
  "dist/server.d.ts",
  "dist/server/engine/engineWorker.js",
  "dist/client/index.js",
  "dist/client/index.d.ts",
  "dist/web/index.js",
  "dist/web/index.d.ts",
  "dist/web/tokenizers.wasm",
  "dist/web/demo/index.html",
  "dist/cli/main.js",
  "dist/cli/THIRD_PARTY_LICENSES.txt",
  "dist/data/encoding/tokenizers.wasm",
  "dist/page/index.html",
  "demo/demo.yaml",
  "demo/train.jsonl",
  "demo/validation.jsonl",
  "demo/test.jsonl",
  "models/accrete-mini/config.json",
  "models/accrete-mini/tokenizer.json",
  "models/accrete-mini/model.safetensors",
];

const allowed = [
  /^(package\.json|README\.md|CHANGELOG\.md|CONTRIBUTING\.md|LICENSE)$/,
  /^docs\/[\w-]+\.md$/,
  /^docs\/images\/[\w-]+\.png$/,
  /^configs\/[\w-]+\.yaml$/,
  /^examples\//,
  /^dist\/.+(\.js|\.d\.ts)$/,
  /^dist\/(data\/encoding|web)\/tokenizers\.wasm$/,
  /^dist\/cli\/THIRD_PARTY_LICENSES\.txt$/,
  /^dist\/page\/(index\.html|app-[0-9a-f]+\.js|style-[0-9a-f]+\.css|icon-[0-9a-f]+\.svg)$/,
  /^dist\/web\/demo\/index\.html$/,
  /^demo\//,
  /^models\/accrete-mini\//,
];
const refused = /(^|\/)(tests?|goldens|bench|studies)\/|^tools\/|\.(test|e2e)\.|\.log$|\.tgz$/;

const packSchema = z
  .array(
    z.object({
      unpackedSize: z.number(),
      files: z.array(z.object({ path: z.string(), size: z.number(), mode: z.number() })),
    }),
  )
  .length(1);

/** What the README links to has to be in the package: on the registry's page and in node_modules there is nothing else. */
function brokenLinks(files: ReadonlyMap<string | undefined, unknown>): string[] {
  const text = readFileSync(new URL("../../README.md", import.meta.url), "utf8");
  const targets = [...text.matchAll(/\]\(([^)\s]+)\)|(?:src|srcset)="([^"]+)"/g)].map(
    ([, a, b]) => a ?? b ?? "",
  );
  return targets
    .filter((target) => !/^[a-z]+:|^#/.test(target) && !files.has(target.split("#")[0]))
    .map((target) => `README.md links to ${target}, which is not in the package`);
}

function findProblems(report: unknown): string[] {
  const [pack] = packSchema.parse(report);
  const files = new Map(pack?.files.map((file) => [file.path, file]));
  const problems = required.filter((path) => !files.has(path)).map((path) => `${path} is missing`);
  for (const path of files.keys()) {
    if (!allowed.some((pattern) => pattern.test(path)) || refused.test(path))
      problems.push(`${path} does not belong there`);
  }
  problems.push(...brokenLinks(files));
  const command = files.get("dist/cli/main.js");
  if (command !== undefined && (command.mode & 0o111) === 0)
    problems.push("dist/cli/main.js is not executable");
  const bytes = pack?.unpackedSize ?? 0;
  if (bytes > largestBytes) problems.push(`${bytes} bytes unpacked, more than ${largestBytes}`);
  console.log(`package: ${files.size} files, ${(bytes / 1e6).toFixed(1)} MB unpacked`);
  return problems;
}

const [path = "", ...mayMiss] = process.argv.slice(2);
const problems = findProblems(JSON.parse(readFileSync(path, "utf8"))).filter(
  (problem) => !mayMiss.some((name) => problem === `${name} is missing`),
);
for (const problem of problems) console.error(`package: ${problem}`);
process.exitCode = problems.length === 0 ? 0 : 1;
