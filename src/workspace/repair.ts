/** Making a damaged folder of states whole again, as far as that can be done. */
import { rename } from "node:fs/promises";
import { join, relative, resolve } from "node:path";
import { checkArguments } from "../config/arguments.ts";
import { selectorFile } from "../continual/newlora/selectorState.ts";
import { tagCountsFile } from "../continual/routing/tagCounts.ts";
import { messageOf, StoreError } from "../core/errors.ts";
import { writeFileAtomic } from "../io/atomic.ts";
import { acquireLock } from "../io/lock.ts";
import { configFile, readModelSettings } from "../model/settings/settings.ts";
import { statisticsFile } from "../model/taskFiles.ts";
import { checkFolder, type FolderCheck, pagesNamed, problemOf } from "./check.ts";
import {
  encodeManifest,
  foldersOf,
  type Manifest,
  type ManifestTask,
  manifestFile,
  readIfThere,
  readManifest,
  readManifestFile,
} from "./manifest.ts";
import { damagedCopies, readPage, writePages } from "./pages.ts";
import { inTurn } from "./queue.ts";
import { adopted, hashSettings, keptVersions, newestWhole, versionPath } from "./reading.ts";
import { Workspace } from "./workspace.ts";

/** How far a repair goes. */
export interface RepairOptions {
  /** Seconds that another process is waited for; default 10. */
  readonly waitSeconds?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** What a repair did. */
export interface Repaired {
  readonly folder: string;
  /** What was done, one sentence each; empty where nothing had to be. */
  readonly done: readonly string[];
  /** What is gone for good, one sentence each. */
  readonly lost: readonly string[];
  /** What is still wrong. */
  readonly left: FolderCheck;
}

/** What answers by its own weight, and what a task can do without. */
const dispensable: ReadonlySet<string> = new Set([statisticsFile, tagCountsFile]);

class Repair {
  readonly done: string[] = [];
  readonly lost: string[] = [];
  private readonly root: string;

  constructor(root: string) {
    this.root = root;
  }

  /** Nothing is deleted: what cannot be read may still tell somebody something. */
  private async putAside(path: string): Promise<void> {
    let aside = `${path}.damaged`;
    for (let n = 2; (await readIfThere(aside)) !== undefined; n++) aside = `${path}.damaged-${n}`;
    await rename(path, aside);
    this.done.push(`put aside: ${relative(this.root, path)} is ${relative(this.root, aside)} now`);
  }

  private async write(manifest: Manifest): Promise<void> {
    const path = join(this.root, manifestFile);
    await this.writeEncoded(manifest, path);
  }

  private async writeEncoded(manifest: Manifest, path: string): Promise<void> {
    const { text, pages } = encodeManifest(manifest, path);
    await writePages(this.root, pages);
    await writeFileAtomic(path, text);
  }

  /** Pages of which one of the two copies is whole. */
  async pages(): Promise<void> {
    for (const hash of await pagesNamed(this.root)) {
      const damaged = await damagedCopies(this.root, hash);
      if (damaged.length !== 1) continue;
      await writePages(this.root, new Map([[hash, await readPage(this.root, hash, "")]]));
      this.done.push(`${relative(this.root, damaged[0] ?? "")} is written again, from its copy`);
    }
  }

  /** Earlier versions that cannot be read, or that stand where the present one is to go. */
  async versions(): Promise<void> {
    const present = await readManifest(this.root).catch(() => undefined);
    for (const version of await keptVersions(this.root)) {
      const path = versionPath(this.root, version);
      const manifest = await readManifestFile(path).catch(() => undefined);
      if (manifest !== undefined && version !== present?.store?.version) continue;
      await this.putAside(path);
      if (manifest === undefined) this.lost.push(`version ${version}: its manifest cannot be read`);
    }
  }

  /** A manifest that is gone or cannot be read. */
  async manifest(): Promise<void> {
    const damage = await readManifest(this.root).then(
      (manifest) => (manifest === undefined ? "is missing" : undefined),
      (error: unknown) => {
        if (error instanceof StoreError && error.code !== "STORE_DAMAGED") throw error;
        return messageOf(error);
      },
    );
    if (damage === undefined) return;
    const whole = await newestWhole(this.root);
    if (whole === undefined)
      throw new StoreError(`${join(this.root, manifestFile)}: ${damage}, and no earlier version is whole`, {
        exitCode: 1,
        hint: "Restore the folder from a backup, or begin anew in another one.",
      });
    if (damage !== "is missing") await this.putAside(join(this.root, manifestFile));
    const newest = Math.max(...(await keptVersions(this.root)));
    const { version } = whole.store;
    // The number of the version that is lost is not given again.
    const store = {
      version: newest + 2,
      parent: version,
      change: `repaired: back to version ${version}`,
      time: new Date().toISOString(),
    };
    await this.write({ ...whole, store });
    this.done.push(`version ${newest + 2} holds what version ${version} held`);
    this.lost.push(
      `version ${newest + 1}, and whatever it had learned or forgotten since version ${version}`,
    );
  }

  /** Files of the present version that are missing or damaged. */
  async tasks(): Promise<void> {
    const manifest = await readManifest(this.root);
    if (manifest === undefined) return;
    const kept: ManifestTask[] = [];
    const lost: string[] = [];
    for (const task of manifest.tasks) {
      const whole = await this.wholeOf(task, lost);
      if (whole !== undefined) kept.push(whole);
      // What a run has yet to learn it learns in the order of its stream.
      else if (manifest.store === undefined) break;
    }
    if (lost.length === 0) return;
    const entangled = manifest.tasks.some(({ adapter }) => selectorFile in adapter.files);
    if (manifest.store === undefined) {
      await this.write({ ...manifest, tasks: kept });
      this.done.push(
        `the run goes on after task ${kept.length}: accrete run … --resume learns the rest anew`,
      );
    } else if (entangled && kept.length < manifest.tasks.length) {
      await this.back(manifest);
    } else {
      await this.next(manifest, kept);
    }
    this.lost.push(...lost);
  }

  /** The task without what it can do without, as far as that is damaged; undefined where more is. */
  private async wholeOf(task: ManifestTask, lost: string[]): Promise<ManifestTask | undefined> {
    const { name, adapter, segments: _, ...record } = task;
    const damaged: string[] = [];
    for (const folder of foldersOf(task))
      for (const file of Object.keys(folder.files)) {
        const { problem } = await problemOf(this.root, folder, file);
        if (problem === undefined) continue;
        damaged.push(file);
        lost.push(`task ${name}: ${folder.folder}/${file} ${problem}`);
      }
    if (damaged.length === 0) return task;
    if (task.statisticsOnly === true || damaged.some((file) => !dispensable.has(file))) return undefined;
    // Without rows the counts beside them say nothing.
    const files = Object.fromEntries(
      Object.entries(adapter.files).filter(([file]) => !dispensable.has(file)),
    );
    return { name, ...record, adapter: { ...adapter, files } };
  }

  private async next(manifest: Manifest, tasks: readonly ManifestTask[]): Promise<void> {
    const { version } = manifest.store ?? adopted;
    const newest = Math.max(version, ...(await keptVersions(this.root)));
    const time = new Date().toISOString();
    const path = versionPath(this.root, version);
    await this.writeEncoded(manifest, path);
    const change = "repaired: without what was damaged";
    await this.write({ ...manifest, tasks, store: { version: newest + 1, parent: version, change, time } });
    this.done.push(`version ${newest + 1} does without what is damaged`);
  }

  /** Tasks that share a network go together. */
  private async back(manifest: Manifest): Promise<void> {
    const whole = await newestWhole(this.root);
    if (whole === undefined)
      throw new StoreError(`${this.root}: its tasks share a network, and no earlier version is whole`, {
        exitCode: 1,
        hint: "Restore the folder from a backup.",
      });
    await this.next(manifest, whole.tasks);
    this.lost.push(`what was learned since version ${whole.store.version}: all tasks share a network`);
  }

  /** Settings that were changed by hand and can be read stand from now on. */
  async settings(): Promise<void> {
    const manifest = await readManifest(this.root);
    if (manifest?.settingsFile === undefined) return;
    const found = await hashSettings(this.root);
    if (found === undefined || found === manifest.settingsFile) return;
    await readModelSettings(this.root);
    await this.write({ ...manifest, settingsFile: found });
    this.done.push(`${configFile} is taken as it is now`);
    this.lost.push(`what ${configFile} said when the folder was begun`);
  }
}

/**
 * Makes a damaged store or run usable again: goes back to the newest whole version where the manifest is damaged, does
 * without damaged tasks, and removes what an interrupted change left. What cannot be read is put aside, not deleted.
 * @throws StoreError where nothing whole is left, or another process is writing there
 */
export async function repairFolder(folder: string, options: RepairOptions = {}): Promise<Repaired> {
  checkArguments("repairFolder", { folder, options });
  const root = resolve(folder);
  // Asked first: it refuses what is neither store nor run.
  await checkFolder(root);
  const { waitSeconds = 10, signal } = options;
  const locking = { waitMs: waitSeconds * 1000, signal, elsewhere: false };
  return await inTurn(root, async () => {
    const repair = new Repair(root);
    {
      await using _ = await acquireLock(root, locking);
      await repair.pages();
      await repair.manifest();
      await repair.versions();
      await repair.tasks();
      await repair.settings();
    }
    const { leftovers } = await checkFolder(root);
    if (leftovers.length > 0) {
      await using workspace = await Workspace.open(root, locking);
      await workspace.removeLeftovers();
      repair.done.push(`removed what an interrupted change had left: ${leftovers.join(", ")}`);
    }
    const { done, lost } = repair;
    return { folder: root, done, lost, left: await checkFolder(root) };
  });
}
