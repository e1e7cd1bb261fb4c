/** The files of `deploy/` against the command line, and against each other: nothing is built or started. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { parse } from "yaml";
import { z } from "zod";
import { packageRoot } from "../../src/core/packageInfo.ts";
import { complaint } from "../support/cli.ts";

const read = (name: string) => readFileSync(join(packageRoot, "deploy", name), "utf8");
const words = z.array(z.string());

/** The last instruction of that name, of the form `NAME ["word", …]`. */
function instruction(dockerfile: string, name: string): string[] {
  const found = [...dockerfile.matchAll(new RegExp(`^${name} (\\[.*\\])$`, "gm"))].at(-1)?.[1];
  return words.parse(JSON.parse(found ?? "[]"));
}

const dockerfile = read("Dockerfile");
const image = { entrypoint: instruction(dockerfile, "ENTRYPOINT"), command: instruction(dockerfile, "CMD") };
const [, exposed = ""] = /^EXPOSE (\d+)$/m.exec(dockerfile) ?? [];

const serviceSchema = z.object({
  build: z.unknown().optional(),
  entrypoint: words.optional(),
  command: z.union([z.string(), words]).optional(),
  environment: z.record(z.string(), z.string()).default({}),
  volumes: words.default([]),
  ports: words.default([]),
  expose: words.default([]),
  depends_on: words.default([]),
  secrets: words.default([]),
  healthcheck: z.object({ disable: z.boolean() }).optional(),
});
type Service = z.infer<typeof serviceSchema>;
const fileSchema = z.object({
  services: z.record(z.string(), serviceSchema),
  volumes: z.record(z.string(), z.null()),
  secrets: z.record(z.string(), z.unknown()).default({}),
});

/** What a container runs; an entrypoint of its own leaves the image's command out. */
function commandOf({ entrypoint, command }: Service): string[] {
  const own = words.parse(command ?? (entrypoint === undefined ? image.command : []));
  return [...(entrypoint ?? image.entrypoint), ...own];
}

/** Folders in a container where something is kept, with the volume or the folder that it lies in. */
function mountsOf({ volumes }: Service): (readonly [target: string, source: string])[] {
  return volumes.map((text) => {
    const [source = "", target = ""] = text.split(":");
    return [target, source] as const;
  });
}

const named = (source: string) => !/^[./]/.test(source);
const flagOf = (all: readonly string[], flag: string) => all[all.indexOf(flag) + 1] ?? "";

const sources = readdirSync(join(packageRoot, "src"), { recursive: true, encoding: "utf8" })
  .filter((name) => name.endsWith(".ts"))
  .map((name) => readFileSync(join(packageRoot, "src", name), "utf8"))
  .join("\n");

/** Names in quotes; a secret may come from a file that `<name>_FILE` names. */
function isRead(name: string): boolean {
  return [name, name.replace(/_FILE$/, "")].some((each) => new RegExp(`\\b${each}\\b`).test(sources));
}

test.each(["compose.yaml", "sweep.yaml"])(
  "deploy/%s: commands, names, volumes and ports agree",
  async (name) => {
    const { services, volumes, secrets } = fileSchema.parse(parse(read(name), { merge: true }));
    const used = new Set<string>();
    for (const [what, service] of Object.entries(services)) {
      for (const [, source] of mountsOf(service).filter(([, source]) => named(source))) used.add(source);
      for (const other of service.depends_on) expect(Object.keys(services), what).toContain(other);
      for (const secret of service.secrets) expect(Object.keys(secrets), what).toContain(secret);
      if (service.build === undefined) continue;
      const [program, command = "", ...args] = commandOf(service);
      expect(program, what).toBe("accrete");
      expect(await complaint([command, ...args]), what).toBeUndefined();
      for (const key of Object.keys(service.environment)) expect(isRead(key), `${what}: ${key}`).toBe(true);
      for (const [, host] of JSON.stringify(service).matchAll(/redis:\/\/([^:"]+):6379/g))
        expect(Object.keys(services), what).toContain(host);
      const listens = command === "serve" ? [exposed] : [];
      if (args.includes("--metrics")) listens.push(flagOf(args, "--metrics"));
      for (const port of [...service.ports.map((text) => text.split(":").at(-1) ?? ""), ...service.expose])
        expect(listens, what).toContain(port);
      const targets = mountsOf(service).map(([target]) => target);
      if (args.includes("--artefacts")) expect(targets, what).toContain(flagOf(args, "--artefacts"));
      if (command === "serve") expect(targets, what).toContain("/stores");
      // The image's health check asks a server.
      expect(service.healthcheck?.disable ?? false, what).toBe(command !== "serve");
    }
    expect([...used].sort()).toEqual(Object.keys(volumes).sort());
  },
);

test("the image listens where its health check asks", () => {
  expect(dockerfile).toContain(`http://127.0.0.1:${exposed}/health/ready`);
  expect(image.entrypoint).toEqual(["accrete", "serve", "--host", "0.0.0.0"]);
});
