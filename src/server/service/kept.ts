/**
 * Texts that were asked or taught, kept for review where the operator says so: those of no class learned, corrections, and examples. Each
 * store has a folder beside it with a file an hour; a file is deleted before its first text is older than allowed.
 */
import { createCipheriv, createDecipheriv, randomBytes, randomUUID } from "node:crypto";
import { appendFile, mkdir, readdir, readFile, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { ConfigError, errorCode } from "../../core/errors.ts";
import { appendFlags, writeFileAtomic } from "../../io/atomic.ts";
import { ownFolderOf, type StoresAt } from "../../store/sources/openSource.ts";

export const keptReasons = ["unknown", "correction", "taught"] as const;
export type KeptReason = (typeof keptReasons)[number];

const keptSchema = z.object({
  id: z.string(),
  time: z.string(),
  reason: z.enum(keptReasons),
  text: z.string(),
  /** What was answered, or the right label. */
  label: z.string().nullable(),
  score: z.number().optional(),
  unknown: z.number().optional(),
  version: z.number().optional(),
});
export type KeptText = z.infer<typeof keptSchema>;

const sealedSchema = z.object({ iv: z.string(), tag: z.string(), sealed: z.string() });

/** Which texts a server keeps. */
export interface KeepOptions {
  readonly days: number;
  /** 32 bytes; with them every text is sealed with AES-256-GCM. */
  readonly key?: Buffer | undefined;
  /** Bytes of one store's kept texts; beyond them nothing is kept until something is deleted. Default 256 MiB. */
  readonly mostBytes?: number | undefined;
}

/** Behind the name of a store's folder. */
const suffix = ".kept";
const MOST_BYTES = 2 ** 28;
const DAY_MS = 24 * 3_600_000;
/** How often `expire` should be called. */
export const EXPIRY_CHECK_MS = 60_000;
const fileName = /^(\d{4}-\d\d-\d\dT\d\d)\.jsonl$/;

/** @throws ConfigError unless that is 32 bytes in hexadecimal or base64 */
export function parseKey(text: string): Buffer {
  const trimmed = text.trim();
  const key = /^[0-9a-f]{64}$/i.test(trimmed) ? Buffer.from(trimmed, "hex") : Buffer.from(trimmed, "base64");
  if (key.length === 32) return key;
  throw new ConfigError(`the key for kept texts has ${key.length} bytes, not 32`, {
    hint: "Make one with: openssl rand -hex 32",
  });
}

export class KeptTexts {
  private readonly stores: StoresAt;
  private readonly options: KeepOptions;
  private readonly now: () => number;
  private turn: Promise<unknown> = Promise.resolve();

  /** @throws ConfigError where stores have no folder of their own */
  constructor(stores: StoresAt, options: KeepOptions, now: () => number = () => Date.now()) {
    if (stores.kind === "bucket")
      throw new ConfigError(
        `${stores.url}: texts are kept beside a store's folder, and stores of a bucket have none`,
        {
          hint: "Serve them without keeping texts.",
        },
      );
    this.stores = stores;
    this.options = options;
    this.now = now;
  }

  get days(): number {
    return this.options.days;
  }

  private folderOf(store: string): string {
    return `${ownFolderOf(this.stores, store)}${suffix}`;
  }

  /** Every folder of kept texts that is there. */
  private async folders(): Promise<readonly string[]> {
    const { stores } = this;
    if (stores.kind === "folders") return Object.keys(stores.stores).map((name) => this.folderOf(name));
    const root = stores.kind === "root" ? stores.folder : "";
    const names = await readdir(root);
    return names.filter((name) => name.endsWith(suffix)).map((name) => join(root, name));
  }

  /** One after another: files are appended to and rewritten. */
  private inTurn<T>(work: () => Promise<T>): Promise<T> {
    const next = this.turn.then(work, work);
    this.turn = next.catch(() => {});
    return next;
  }

  private seal(line: string, file: string): string {
    const { key } = this.options;
    if (key === undefined) return line;
    const iv = randomBytes(12);
    const cipher = createCipheriv("aes-256-gcm", key, iv).setAAD(Buffer.from(file));
    const sealed = Buffer.concat([cipher.update(line, "utf8"), cipher.final()]);
    const text = (bytes: Buffer) => bytes.toString("base64");
    return JSON.stringify({ iv: text(iv), tag: text(cipher.getAuthTag()), sealed: text(sealed) });
  }

  /** @returns undefined where it cannot be read: torn, or sealed with another key */
  private unseal(line: string, file: string): KeptText | undefined {
    try {
      const json: unknown = JSON.parse(line);
      const given = sealedSchema.safeParse(json);
      if (!given.success) return keptSchema.parse(json);
      const { key } = this.options;
      if (key === undefined) return undefined;
      const bytes = (text: string) => Buffer.from(text, "base64");
      const decipher = createDecipheriv("aes-256-gcm", key, bytes(given.data.iv))
        .setAAD(Buffer.from(file))
        .setAuthTag(bytes(given.data.tag));
      const open = Buffer.concat([decipher.update(bytes(given.data.sealed)), decipher.final()]);
      return keptSchema.parse(JSON.parse(open.toString("utf8")));
    } catch {
      return undefined;
    }
  }

  private filesOf(store: string): Promise<readonly string[]> {
    return this.filesIn(this.folderOf(store));
  }

  private async filesIn(folder: string): Promise<readonly string[]> {
    const names = await readdir(folder).catch((error: unknown) => {
      if (["ENOENT", "ENOTDIR"].includes(errorCode(error) ?? "")) return [];
      throw error;
    });
    return names.filter((name) => fileName.test(name)).sort();
  }

  private async bytesOf(store: string): Promise<number> {
    const sizes = (await this.filesOf(store)).map(
      async (name) => (await stat(join(this.folderOf(store), name))).size,
    );
    return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
  }

  /** @returns how many were kept: none where the store's kept texts take all the room that they may */
  keep(store: string, texts: readonly Omit<KeptText, "id" | "time">[]): Promise<number> {
    return this.inTurn(async () => {
      if (texts.length === 0) return 0;
      if ((await this.bytesOf(store)) > (this.options.mostBytes ?? MOST_BYTES)) return 0;
      const time = new Date(this.now()).toISOString();
      const file = `${time.slice(0, 13)}.jsonl`;
      const lines = texts.map((each) => this.seal(JSON.stringify({ id: randomUUID(), time, ...each }), file));
      const folder = this.folderOf(store);
      await mkdir(folder, { recursive: true, mode: 0o700 });
      await appendFile(join(folder, file), `${lines.join("\n")}\n`, { flag: appendFlags, mode: 0o600 });
      return texts.length;
    });
  }

  /** The newest first. */
  list(store: string, most: number, reason?: KeptReason): Promise<readonly KeptText[]> {
    return this.inTurn(async () => {
      const found: KeptText[] = [];
      for (const file of (await this.filesOf(store)).toReversed()) {
        const lines = (await this.linesOf(store, file)).toReversed();
        for (const line of lines) {
          const kept = this.unseal(line, file);
          if (kept !== undefined && (reason === undefined || kept.reason === reason)) found.push(kept);
          if (found.length >= most) return found;
        }
      }
      return found;
    });
  }

  private async linesOf(store: string, file: string): Promise<readonly string[]> {
    const text = await readFile(join(this.folderOf(store), file), "utf8");
    return text.split("\n").filter((line) => line !== "");
  }

  /** Deletes what is kept of a store, or some of it. @returns how many texts are gone */
  remove(store: string, isGone: (kept: KeptText) => boolean = () => true): Promise<number> {
    return this.inTurn(async () => {
      let gone = 0;
      for (const file of await this.filesOf(store)) {
        const lines = await this.linesOf(store, file);
        const left = lines.filter((line) => {
          const kept = this.unseal(line, file);
          return kept !== undefined && !isGone(kept);
        });
        if (left.length === lines.length) continue;
        gone += lines.length - left.length;
        const path = join(this.folderOf(store), file);
        if (left.length === 0) await rm(path, { force: true });
        else await writeFileAtomic(path, `${left.join("\n")}\n`);
      }
      return gone;
    });
  }

  /** Deletes the files whose first text may have reached its age. */
  expire(): Promise<void> {
    return this.inTurn(async () => {
      // Somebody looks once a minute: what reaches its age before the next look goes now.
      const oldest = this.now() + EXPIRY_CHECK_MS - this.options.days * DAY_MS;
      for (const folder of await this.folders())
        for (const file of await this.filesIn(folder)) {
          const begun = Date.parse(`${fileName.exec(file)?.[1] ?? ""}:00:00.000Z`);
          if (begun <= oldest) await rm(join(folder, file), { force: true });
        }
    });
  }
}
