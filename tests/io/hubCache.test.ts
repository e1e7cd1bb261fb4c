import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { lstat, readdir, readFile, realpath, rm, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { CheckpointError } from "../../src/core/errors.ts";
import { openModelFolder, readModelConfig } from "../../src/io/models/modelFolder.ts";
import { encodeSafetensors } from "../../src/io/safetensors.ts";
import { failureOf } from "../support/errors.ts";
import { temporaryFolder } from "../support/folders.ts";
import { hex, modelFiles, weightsA, weightsB, without } from "../support/modelFiles.ts";

let folder = "";
beforeEach(async () => {
  folder = await temporaryFolder();
  vi.stubEnv("XDG_CACHE_HOME", join(folder, "cache"));
  vi.stubEnv("HF_HUB_OFFLINE", "");
  vi.stubEnv("HF_TOKEN", "");
});
afterEach(() => {
  vi.unstubAllEnvs();
});

describe("the hub", () => {
  const commit = "c".repeat(40);
  let server: Server;
  let requests: string[] = [];
  let remote: Record<string, Uint8Array | string> = {};
  /** Cuts the answer to a file short. */
  let broken = "";
  /** A file whose last byte arrives changed. */
  let tampered = "";

  function answer(url: URL): { status: number; body: Uint8Array | string } {
    if (url.pathname.startsWith("/api/models/org/tiny/revision/"))
      return { status: 200, body: JSON.stringify({ _id: "1", id: "org/tiny", sha: commit }) };
    if (url.pathname === `/api/models/org/tiny/tree/${commit}`) {
      const entries = Object.entries(remote).map(([path, content]) => ({
        type: "file",
        path,
        size: Buffer.byteLength(content),
        // As git names a file.
        oid: createHash("sha1")
          .update(`blob ${Buffer.byteLength(content)}\0`)
          .update(content)
          .digest("hex"),
        ...(path.endsWith(".safetensors") && {
          lfs: { oid: hex(content), size: Buffer.byteLength(content) },
        }),
      }));
      return { status: 200, body: JSON.stringify(entries) };
    }
    const content = remote[url.pathname.replace(`/org/tiny/resolve/${commit}/`, "")];
    return content === undefined ? { status: 404, body: "{}" } : { status: 200, body: content };
  }

  beforeEach(async () => {
    requests = [];
    broken = "";
    tampered = "";
    remote = { ...modelFiles, "README.md": "# no", "pytorch_model.bin": "no" };
    server = createServer((request, response) => {
      const url = new URL(request.url ?? "", "http://x");
      requests.push(url.pathname);
      const { status, body } = answer(url);
      const bytes = Buffer.from(body);
      if (tampered !== "" && url.pathname.endsWith(tampered)) bytes[bytes.length - 1] = 1;
      const headers = {
        etag: '"x"',
        "content-type": url.pathname.startsWith("/api") ? "application/json" : "text/plain",
      };
      if (request.headers.range === "bytes=0-0") {
        response.writeHead(status === 200 ? 206 : status, {
          ...headers,
          "content-range": `bytes 0-0/${bytes.length}`,
        });
        response.end(bytes.subarray(0, 1));
        return;
      }
      response.writeHead(status, headers);
      response.end(broken !== "" && url.pathname.endsWith(broken) ? bytes.subarray(0, 9) : bytes);
    });
    await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
    const address = server.address();
    const port = typeof address === "object" && address !== null ? address.port : 0;
    vi.stubEnv("HF_ENDPOINT", `http://127.0.0.1:${port}`);
  });
  afterEach(async () => {
    server.closeAllConnections();
    await new Promise((done) => server.close(done));
  });

  const open = (options: Parameters<typeof openModelFolder>[1] = {}) =>
    openModelFolder("org/tiny", { cacheDir: join(folder, "hub"), ...options });
  const snapshot = () => join(folder, "hub", "models--org--tiny", "snapshots", commit);

  test("fetches what a model needs into the shared cache's layout, and is offline after that", async () => {
    const downloads: string[] = [];
    const first = await open({ onDownload: (file) => downloads.push(file) });
    expect(downloads.sort()).toEqual(["config.json", "model.safetensors", "tokenizer.json"]);
    expect(first).toMatchObject({ path: snapshot(), commit, notes: [] });
    expect((await lstat(join(snapshot(), "model.safetensors"))).isSymbolicLink()).toBe(true);
    expect(first.weights.get("a")?.file).toContain(join("blobs", hex(modelFiles["model.safetensors"] ?? "")));
    expect(await readFile(join(folder, "hub/models--org--tiny/refs/main"), "utf8")).toBe(commit);
    requests = [];
    expect((await open()).hash).toBe(first.hash);
    expect((await open({ revision: commit })).hash).toBe(first.hash);
    expect(requests).toEqual([]);
  });

  test("fetches config.json alone where nothing else is asked for, and the rest later", async () => {
    const options = { cacheDir: join(folder, "hub") };
    const config = await readModelConfig("org/tiny", options);
    expect(await readdir(snapshot())).toEqual(["config.json"]);
    expect((await open()).config).toEqual(config);
    requests = [];
    expect(await readModelConfig("org/tiny", options)).toEqual(config);
    expect(requests).toEqual([]);
  });

  test("fetches the pooling, and shards where there is no single file", async () => {
    remote = {
      ...without("model.safetensors"),
      "model-00001-of-00001.safetensors": encodeSafetensors(weightsA),
      "model.safetensors.index.json": JSON.stringify({
        weight_map: { a: "model-00001-of-00001.safetensors" },
      }),
      "1_Pooling/config.json": '{"pooling_mode_mean_tokens": true}',
    };
    const model = await open({ revision: "v1.0" });
    expect(model.poolingConfig?.pooling).toBe("mean");
    expect([...model.weights.keys()]).toEqual(["a"]);
  });

  test("fetches layers over the pooling, and again where a cache lacks them", async () => {
    const dense = { in_features: 1, out_features: 1, bias: false };
    remote = {
      ...modelFiles,
      "modules.json": JSON.stringify([
        { type: "st.models.Pooling", path: "1_Pooling" },
        { type: "st.models.Dense", path: "2_Dense" },
      ]),
      "1_Pooling/config.json": '{"pooling_mode_mean_tokens": true}',
      "2_Dense/config.json": JSON.stringify(dense),
      "2_Dense/model.safetensors": encodeSafetensors(weightsB),
    };
    const model = await open();
    expect(model.chain?.layers.map(({ step }) => step.kind)).toEqual(["dense"]);
    await rm(join(snapshot(), "2_Dense"), { recursive: true });
    expect((await open()).hash).toBe(model.hash);
  });

  test.each(["model.safetensors", "tokenizer.json"])(
    "a download of %s cut short leaves no file, and the next try mends it",
    async (name) => {
      remote["tokenizer.json"] = '{"long": "enough"}';
      broken = name;
      await expect(open()).rejects.toThrow(/received 9 of \d+ bytes/);
      expect(existsSync(join(snapshot(), name))).toBe(false);
      broken = "";
      expect((await open()).weights.size).toBe(1);
    },
  );

  test.each([
    ["model.safetensors", (bytes: Buffer) => bytes.subarray(0, -3)],
    ["config.json", (bytes: Buffer) => bytes.subarray(0, 20)],
    ["tokenizer.json", (bytes: Buffer) => bytes.with(bytes.length - 2, 0x20)],
  ])("a %s in the cache that was cut off or changed is fetched again", async (name, damage) => {
    const { path, hash } = await openModelFolder("org/tiny");
    const whole = await readFile(join(path, name));
    await writeFile(await realpath(join(path, name)), damage(whole));
    requests = [];
    expect((await openModelFolder("org/tiny")).hash).toBe(hash);
    expect(await readFile(join(path, name))).toEqual(whole);
    expect(requests.filter((each) => each.includes("/resolve/")).every((each) => each.endsWith(name))).toBe(
      true,
    );
  });

  test("bytes that are not those the hub names are refused", async () => {
    tampered = "model.safetensors";
    await expect(open()).rejects.toThrow(/not those the hub names/);
    expect(existsSync(join(snapshot(), "model.safetensors"))).toBe(false);
  });

  test("a cache that another library filled is asked about, and used as it is without network", async () => {
    await open();
    await rm(join(folder, "hub/models--org--tiny/.no_exist"), { recursive: true });
    vi.stubEnv("HF_ENDPOINT", "http://127.0.0.1:9");
    const { notes, weights } = await open();
    expect(weights.size).toBe(1);
    expect(notes).toEqual([expect.stringContaining("1_Pooling/config.json")]);
  });

  test("says what was tried when the hub cannot be reached", async () => {
    vi.stubEnv("HF_ENDPOINT", "http://127.0.0.1:9");
    const failure = await failureOf(open());
    expect(failure).toBeInstanceOf(CheckpointError);
    expect(failure.message).toMatch(
      /org\/tiny \(revision main\).*models--org--tiny.*127\.0\.0\.1:9 cannot be reached/,
    );
    expect(failure.hint).toMatch(/path of a local folder/);
    vi.stubEnv("HF_HUB_OFFLINE", "1");
    expect((await failureOf(open())).message).toMatch(/HF_HUB_OFFLINE/);
    expect(requests).toEqual([]);
  });

  test("tells a model that is not there from a network that is not", async () => {
    const failure = await failureOf(openModelFolder("org/none", { cacheDir: join(folder, "hub") }));
    expect(failure.message).toMatch(/no such model or wants a login \(404\)/);
  });

  test("a model without safetensors is named, with what to do", async () => {
    remote = { ...without("model.safetensors"), "pytorch_model.bin": "x" };
    const failure = await failureOf(open());
    expect(failure.message).toMatch(/no model.safetensors on the hub, only pytorch_model.bin/);
  });

  test("an aborted fetch rejects with the reason of the signal", async () => {
    await expect(open({ signal: AbortSignal.abort(new CheckpointError("stopped by me")) })).rejects.toThrow(
      "stopped by me",
    );
  });

  test("a revision that leads out of the cache is refused", async () => {
    await expect(open({ revision: "../../x" })).rejects.toThrow(/no branch, tag or commit/);
  });
});
