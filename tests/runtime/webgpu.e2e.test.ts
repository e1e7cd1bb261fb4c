import { execFile } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, it } from "vitest";
import { packageRoot } from "../../src/core/packageInfo.ts";
import { folderOfTestFile } from "../support/folders.ts";
import { softwareGpu } from "../support/webgpu.ts";

const minute = 60_000;
const run = promisify(execFile);

async function inProcess(args: readonly string[], environment: Readonly<Record<string, string>> = {}) {
  const options = { cwd: packageRoot, env: { ...process.env, ...environment }, maxBuffer: 1 << 26 };
  return (await run(process.execPath, ["--import", "tsx", ...args], options)).stdout;
}
const accrete = join(packageRoot, "src/cli/main.ts");
const { environment } = softwareGpu;

it.skipIf(softwareGpu.absent)(
  softwareGpu.titled("a GPU computes every operator as the reference does, and refuses empty tensors"),
  async () => {
    const out = await inProcess([join(packageRoot, "tests/runtime/webgpuConformance.ts")], environment);
    const { right, wrong, empty } = JSON.parse(out);
    expect(wrong).toEqual({});
    expect(right).toBeGreaterThan(180);
    expect(empty).toEqual(["edge: a product over no elements", "edge: a gemm over no elements"]);
  },
  4 * minute,
);

it.skipIf(softwareGpu.absent)(
  softwareGpu.titled(
    "a run on a GPU learns what the processor learns, and its adapters say where they were trained",
  ),
  async () => {
    const folder = folderOfTestFile("webgpu");
    const config = join(folder, "two-tasks.yaml");
    // A software GPU takes seconds a step: four classes of six texts, two of them to judge by.
    const rows = (await readFile(join(packageRoot, "demo/train.jsonl"), "utf8")).trim().split("\n");
    const labels = [...new Set(rows.map((row): unknown => JSON.parse(row).label))].slice(0, 4);
    const few = (from: number, to: number) =>
      labels.flatMap((label) => rows.filter((row) => JSON.parse(row).label === label).slice(from, to));
    await writeFile(join(folder, "train.jsonl"), few(0, 4).join("\n"));
    await writeFile(join(folder, "test.jsonl"), few(4, 6).join("\n"));
    const stream = { train: "train.jsonl", test: "test.jsonl", tasks: 2 };
    const backbone = join(packageRoot, "models/accrete-mini");
    const training = { epochs: 1, batchSize: 8, minSteps: 1 };
    const router = { kind: "lda" };
    await writeFile(config, JSON.stringify({ backbone, stream, training, router, out: "unused" }));
    const learn = async (device: string) => {
      const out = join(folder, device);
      const args = ["run", config, "--quiet", "--out", out, "--set", `device=${device}`];
      await inProcess([accrete, ...args], environment);
      const read = async (name: string): Promise<unknown> =>
        JSON.parse(await readFile(join(out, name), "utf8"));
      return { metrics: await read("metrics.json"), manifest: await read("manifest.json") };
    };
    const [gpu, cpu] = [await learn("webgpu"), await learn("cpu")];
    expect(gpu.metrics).toMatchObject({ til: { matrix: expect.anything() } });
    expect(gpu.manifest).toMatchObject({ tasks: [{ trainedOn: "webgpu" }, { trainedOn: "webgpu" }] });
    expect(JSON.stringify(cpu.manifest)).not.toContain("trainedOn");
    const matrices = ({ metrics }: { metrics: unknown }) => {
      const { cil, til, routed } = Object(metrics);
      return { cil: cil.matrix, til: til.matrix, routed: routed.matrix };
    };
    expect(matrices(gpu)).toEqual(matrices(cpu));
  },
  4 * minute,
);

it("a machine without a GPU says so, and what to do", async () => {
  const none = { VK_ICD_FILENAMES: "/nowhere.json", VK_DRIVER_FILES: "/nowhere.json", LD_LIBRARY_PATH: "" };
  expect(await inProcess([accrete, "doctor"], none)).toMatch(/devices\s+cpu; no GPU that WebGPU can use/);
  const out = join(folderOfTestFile("webgpu"), "run");
  const args = ["run", join(packageRoot, "demo/demo.yaml"), "--out", out, "--set", "device=webgpu"];
  await expect(inProcess([accrete, ...args], none)).rejects.toMatchObject({
    code: 2,
    stderr: expect.stringMatching(/device: webgpu cannot be used on this machine[\s\S]*Use device: cpu/),
  });
});
