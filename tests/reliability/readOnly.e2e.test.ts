/** A store in a folder that cannot be written to: by its permissions, or on a file system that is read-only. */
import { spawn, spawnSync } from "node:child_process";
import { chmod, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { packageRoot } from "../../src/core/packageInfo.ts";
import { openStore } from "../../src/store/store.ts";
import { heardOf } from "../support/cli.ts";
import { bytesBelow, folderOfTestFile } from "../support/folders.ts";
import { questions, settings, statisticsOnly, unversioned } from "../support/stores.ts";
import { writeTinyModel } from "../support/tinyModels.ts";
import { texts } from "../support/tinyStreams.ts";

const root = folderOfTestFile("read-only");
const folder = join(root, "store");
const program = join(packageRoot, "tests/reliability/programs/readOnly.ts");
let right: readonly unknown[] = [];

beforeAll(async () => {
  await writeTinyModel(join(root, "model"));
  const create = { backbone: join(root, "model"), ...settings, router: { kind: "lda" } } as const;
  await using store = await openStore(folder, { create, background: false });
  await store.learn({ name: "one", train: texts(["aa", "bb", "cc"]) }, statisticsOnly);
  right = unversioned(await store.predict(questions));
});

const isRoot = process.getuid?.() === 0;
const nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
const mount = ["unshare", "--mount", "sh", "-c"];
const remount = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@"';

function works([command = "", ...args]: readonly string[]): boolean {
  return spawnSync(command, args).status === 0;
}

/** What stands before a command that may not write to the folder. */
const ways = {
  // Root may write whatever the permissions say.
  permissions: isRoot ? nobody : [],
  mount: [...mount, remount, folder],
} as const;

/** A checkout below a folder of root's alone is closed to others. */
const readableByNobody = works([...nobody, "test", "-r", program]);

const possible = {
  permissions: process.platform !== "win32" && (!isRoot || readableByNobody),
  mount: isRoot && works([...mount, remount, root, "true"]),
};

async function setWritable(writable: boolean): Promise<void> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const folders = [folder, ...entries.filter((e) => e.isDirectory()).map((e) => join(e.parentPath, e.name))];
  for (const path of folders) await chmod(path, writable ? 0o755 : 0o555);
}

describe.each(["permissions", "mount"] as const)("read-only by %s", (way) => {
  test.skipIf(!possible[way]).each([true, false])(
    "answers, with its router there: %s, and refuses to learn (skipped where this system cannot forbid the writing, or forbids reading the checkout too)",
    async (routed) => {
      if (!routed) await rm(join(folder, "router"), { recursive: true });
      await chmod(root, 0o755);
      const before = await bytesBelow(folder);
      if (way === "permissions") await setWritable(false);
      const args = [...ways[way], process.execPath, "--import", "tsx", program, folder];
      const [command = "", ...rest] = args;
      const env = { ...process.env, XDG_CACHE_HOME: join(root, "cache") };
      const { out, err, exitCode } = await heardOf(spawn(command, rest, { cwd: packageRoot, env }));
      await setWritable(true);
      expect({ exitCode, err: exitCode === 0 ? "" : err }).toEqual({ exitCode: 0, err: "" });
      const heard = JSON.parse(out);
      expect(heard.refused).toMatch(/EACCES|EROFS/);
      expect(heard.answers).toEqual([right, right, right]);
      expect(heard.taught).toMatch(/cannot be (written|locked)|permission|read-only/);
      expect(await bytesBelow(folder)).toEqual(before);
      await using store = await openStore(folder, { background: false });
      expect(unversioned(await store.predict(questions))).toEqual(right);
    },
  );
});
