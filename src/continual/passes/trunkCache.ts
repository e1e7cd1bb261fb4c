// Dimensions: n texts, B batch, T tokens, D width.
/**
 * What a trunk gave for texts, so that it is computed once: on the disk by content, for epochs, tasks and runs; or in
 * memory, for the epochs of a task.
 */
import { mkdir, readdir, readFile, rm, stat, utimes } from "node:fs/promises";
import { join } from "node:path";
import { StoreError } from "../../core/errors.ts";
import type { Encoding } from "../../data/encoding/tokenizer.ts";
import { writeFileAtomic } from "../../io/atomic.ts";
import { cacheFolder } from "../../io/cacheFolder.ts";
import { sha256, sha256Json } from "../../portable/hash.ts";
import type { BatchView } from "../../train/trainer.ts";
import { TrunkRows } from "./trunkRows.ts";

const DIGEST_LENGTH = 64;

/** All files together; the ones that were not read for longest go first. */
const BUDGET_BYTES = 4 * 2 ** 30;

/** What one set of texts may take: it is held in memory while it is read. */
const LARGEST_SET_BYTES = 2 ** 30;

/** Fewer texts are not worth it. */
const SMALLEST_SET = 33;

/** Files name the backbone that they are of in the first place, so that those of one can be told. */
const BACKBONE_LENGTH = 16;

function defaultFolder(): string {
  return join(cacheFolder(), "trunk");
}

function prefixOf(backboneHash: string): string {
  return `${backboneHash.slice(0, BACKBONE_LENGTH)}-`;
}

/** The batches in which a trunk is computed: (B·T, D) of every text's tokens, padded to T. */
export type TrunkBatches = AsyncIterable<BatchView & { readonly state: Float32Array }>;

/** Where what a trunk gave is kept. */
export interface Trunks {
  /**
   * The states of texts, as they are kept or computed.
   * @param layers of the trunk
   * @param compute runs the trunk over all texts
   * @returns undefined for fewer than 33 texts, and where they would take more than 1 GiB
   */
  rows(
    encodings: readonly Encoding[],
    layers: number,
    width: number,
    compute: () => TrunkBatches,
  ): Promise<TrunkRows | undefined>;
}

/** @returns room for texts' states, to be filled; undefined where they are too few or too many to be kept */
function allocateRoom(encodings: readonly Encoding[], layers: number, width: number) {
  const lengths = encodings.map(({ ids }) => ids.length);
  const size = lengths.reduce((sum, length) => sum + length, 0) * width;
  if (encodings.length < SMALLEST_SET || size * Float32Array.BYTES_PER_ELEMENT > LARGEST_SET_BYTES)
    return undefined;
  const allocate = (values: Float32Array) => TrunkRows.allocate(lengths, layers, width, values);
  return { size, allocate };
}

async function fill(rows: TrunkRows, batches: TrunkBatches): Promise<void> {
  for await (const { state, ...batch } of batches) rows.put(batch, state);
}

/** Keeps a trunk's states as long as the encodings themselves are kept, and leaves nothing on the disk. */
export class TrunkMemory implements Trunks {
  private readonly known = new WeakMap<readonly Encoding[], TrunkRows>();

  async rows(
    encodings: readonly Encoding[],
    layers: number,
    width: number,
    compute: () => TrunkBatches,
  ): Promise<TrunkRows | undefined> {
    const known = this.known.get(encodings);
    if (known !== undefined) return known;
    const room = allocateRoom(encodings, layers, width);
    if (room === undefined) return undefined;
    const rows = room.allocate(new Float32Array(room.size));
    await fill(rows, compute());
    this.known.set(encodings, rows);
    return rows;
  }
}

export interface TrunkCacheOptions {
  /** Hash of the backbone's files. */
  readonly backboneHash: string;
  /** Default: `accrete/trunk` in the system's folder for caches. */
  readonly folder?: string;
  /** Bytes that all files together may take; default 4 GiB. */
  readonly budgetBytes?: number;
}

/**
 * Files named by the backbone, and a hash of it, the texts' token ids and the number of layers: the states, then their SHA-256.
 * What is missing or damaged is computed anew; a folder that cannot be written to only costs that.
 */
export class TrunkCache implements Trunks {
  private readonly backboneHash: string;
  private readonly folder: string;
  private readonly budgetBytes: number;

  constructor({ backboneHash, folder = defaultFolder(), budgetBytes = BUDGET_BYTES }: TrunkCacheOptions) {
    this.backboneHash = backboneHash;
    this.folder = folder;
    this.budgetBytes = budgetBytes;
  }

  /**
   * Deletes what is kept of texts that a backbone read, whoever's they are: nothing says it.
   * @returns how many files those were
   * @throws StoreError if one cannot be deleted
   */
  static async clear({ backboneHash, folder = defaultFolder() }: Omit<TrunkCacheOptions, "budgetBytes">) {
    const names = await readdir(folder).catch(() => []);
    const own = names.filter((name) => name.startsWith(prefixOf(backboneHash)) && name.endsWith(".f32"));
    for (const name of own)
      await rm(join(folder, name), { force: true }).catch((cause: unknown) => {
        throw new StoreError(`${join(folder, name)}: cannot be deleted, and may hold states of texts`, {
          cause,
          exitCode: 1,
          hint: "Delete it by hand; it is a cache, and nothing needs it.",
        });
      });
    return own.length;
  }

  async rows(
    encodings: readonly Encoding[],
    layers: number,
    width: number,
    compute: () => TrunkBatches,
  ): Promise<TrunkRows | undefined> {
    const room = allocateRoom(encodings, layers, width);
    if (room === undefined) return undefined;
    const texts = encodings.map(({ ids, typeIds }) => [ids, typeIds]);
    const name = sha256Json({ format: 1, backbone: this.backboneHash, layers, texts });
    const path = join(this.folder, `${prefixOf(this.backboneHash)}${name}.f32`);
    const known = await this.read(path, room.size);
    if (known !== undefined) return room.allocate(known);
    const values = new Float32Array(room.size);
    const rows = room.allocate(values);
    await fill(rows, compute());
    await this.write(path, values);
    return rows;
  }

  private async read(path: string, size: number): Promise<Float32Array | undefined> {
    try {
      const bytes = await readFile(path);
      const end = bytes.byteLength - DIGEST_LENGTH;
      if (end !== size * Float32Array.BYTES_PER_ELEMENT) return undefined;
      const states = new Uint8Array(end);
      states.set(bytes.subarray(0, end));
      if (sha256(states) !== bytes.toString("latin1", end)) return undefined;
      const now = new Date();
      await utimes(path, now, now);
      return new Float32Array(states.buffer);
    } catch {
      return undefined;
    }
  }

  private async write(path: string, values: Float32Array): Promise<void> {
    const states = new Uint8Array(values.buffer);
    const content = new Uint8Array(states.byteLength + DIGEST_LENGTH);
    content.set(states);
    content.set(new TextEncoder().encode(sha256(states)), states.byteLength);
    try {
      await mkdir(this.folder, { recursive: true });
      await this.makeRoom(content.byteLength);
      await writeFileAtomic(path, content);
    } catch {
      // The states are in memory; only the next epoch, task or run has to compute them again.
    }
  }

  private async makeRoom(bytes: number): Promise<void> {
    const names = (await readdir(this.folder)).filter((name) => name.endsWith(".f32"));
    const files = await Promise.all(
      names.map(async (name) => {
        const path = join(this.folder, name);
        const { size, mtimeMs } = await stat(path);
        return { path, size, mtimeMs };
      }),
    );
    let total = files.reduce((sum, { size }) => sum + size, bytes);
    for (const { path, size } of files.toSorted((a, b) => a.mtimeMs - b.mtimeMs)) {
      if (total <= this.budgetBytes) return;
      await rm(path, { force: true });
      total -= size;
    }
  }
}
