/** A bucket of S3, or of any server that speaks it, as artefact store. */

import { createReadStream } from "node:fs";
import { open } from "node:fs/promises";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { S3Client, S3ServiceException } from "@aws-sdk/client-s3";
import { ConfigError, errorCode, messageOf, StoreError } from "../core/errors.ts";
import { objectKey } from "./folderStore.ts";
import type { ArtefactStore, FileToSend, NamedValue, StoredObject } from "./store.ts";

interface Place {
  readonly bucket: string;
  /** Without a slash at its end; may be empty. */
  readonly prefix: string;
}

/** @throws ConfigError where it is not `s3://bucket/prefix` */
function parsePlace(url: string): Place {
  const [, bucket, prefix = ""] = /^s3:\/\/([a-z0-9][a-z0-9.-]+)(?:\/(.*?))?\/?$/.exec(url) ?? [];
  if (bucket !== undefined) return { bucket, prefix };
  throw new ConfigError(`${url}: expected s3://bucket or s3://bucket/prefix`);
}

type Sdk = typeof import("@aws-sdk/client-s3");

async function loadSdk(): Promise<Sdk> {
  try {
    return await import("@aws-sdk/client-s3");
  } catch (cause) {
    throw new StoreError("s3:// needs the package @aws-sdk/client-s3, which is not installed", {
      cause,
      hint: "Install it beside accrete-lm: npm install @aws-sdk/client-s3. Or share a folder in its place.",
    });
  }
}

/** Of the SDK: with "true" it does not say which versions of Node its later releases need, which is for whoever updates it. */
const quiet = "AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED";

/** Makes the first client of the process, with which the SDK would warn. What somebody set in the environment stands. */
function withoutVersionWarning<T>(make: () => T): T {
  if (process.env[quiet] !== undefined) return make();
  process.env[quiet] = "true";
  try {
    return make();
  } finally {
    delete process.env[quiet];
  }
}

/** A slow answer is given up and asked for anew, with pauses that grow; adaptive to a server that asks for less. */
function createClient({ S3Client }: Sdk): S3Client {
  const endpoint = process.env.AWS_ENDPOINT_URL_S3 ?? process.env.AWS_ENDPOINT_URL;
  const options = {
    region: process.env.AWS_REGION ?? process.env.AWS_DEFAULT_REGION ?? "us-east-1",
    maxAttempts: 6,
    requestHandler: { connectionTimeout: 5_000, requestTimeout: 60_000, throwOnRequestTimeout: true },
    // Servers of one's own have no names for buckets.
    ...(endpoint !== undefined && { endpoint, forcePathStyle: true }),
  };
  return withoutVersionWarning(() => new S3Client(options));
}

const hints: Readonly<Record<number, string>> = {
  301: "The bucket lies in another region: set AWS_REGION.",
  403: "The credentials may not read or write there: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile.",
  404: "There is no such bucket: make it, or correct its name.",
};
const mayNotDelete = "The credentials may not delete there: they need the right s3:DeleteObject.";
const reachable = "Is the server reachable from here? AWS_ENDPOINT_URL names one other than Amazon's.";

function statusOf(error: unknown, { S3ServiceException }: Sdk): number | undefined {
  return error instanceof S3ServiceException ? statusIn(error) : undefined;
}

function statusIn({ $metadata }: S3ServiceException): number | undefined {
  return $metadata.httpStatusCode;
}

const namesPrefix = "names/";
const fetchAttempts = 3;

class S3Store implements ArtefactStore {
  readonly place: string;
  readonly #sdk: Sdk;
  readonly #client: S3Client;
  readonly #bucket: string;
  readonly #prefix: string;

  constructor(url: string, sdk: Sdk) {
    const { bucket, prefix } = parsePlace(url);
    this.place = url;
    this.#sdk = sdk;
    this.#client = createClient(sdk);
    this.#bucket = bucket;
    this.#prefix = prefix;
  }

  #at(name: string): { readonly Bucket: string; readonly Key: string } {
    return { Bucket: this.#bucket, Key: this.#prefix === "" ? name : `${this.#prefix}/${name}` };
  }

  /** @param own what to do, by status, where that is not what is usual */
  #failed(what: string, cause: unknown, own: Readonly<Record<number, string>> = {}): StoreError {
    const status = statusOf(cause, this.#sdk);
    const why = status === undefined ? `: ${messageOf(cause)}` : ` (HTTP ${status})`;
    // The SDK has one for each place where it looks.
    const denied = status === undefined && cause instanceof Error && /Credential/.test(cause.name);
    const said = denied ? 403 : (status ?? 0);
    return new StoreError(`${this.place}: ${what}${why}`, {
      cause,
      exitCode: denied || (status !== undefined && status < 500) ? 2 : 1,
      hint: own[said] ?? hints[said] ?? reachable,
    });
  }

  /** @throws StoreError where there is no such bucket, or it cannot be reached */
  async check(): Promise<void> {
    await this.#client
      .send(new this.#sdk.HeadBucketCommand({ Bucket: this.#bucket }))
      .catch((cause: unknown) => {
        throw this.#failed("the bucket cannot be used", cause);
      });
  }

  async has(hash: string): Promise<boolean> {
    try {
      await this.#client.send(new this.#sdk.HeadObjectCommand(this.#at(objectKey(hash))));
      return true;
    } catch (error) {
      if (statusOf(error, this.#sdk) === 404) return false;
      throw this.#failed(`${hash} cannot be looked up`, error);
    }
  }

  async put(hash: string, content: Uint8Array): Promise<void> {
    if (!(await this.has(hash))) await this.write(objectKey(hash), content);
  }

  async putFile(hash: string, path: string, sizeBytes: number): Promise<void> {
    if (!(await this.has(hash))) await this.write(objectKey(hash), { path, sizeBytes });
  }

  async fetch(hash: string, path: string): Promise<void> {
    if (await this.read(objectKey(hash), path)) return;
    throw new StoreError(`${this.place}: ${hash} cannot be fetched (HTTP 404)`, {
      hint: "Whoever made it has to publish it again.",
    });
  }

  async write(key: string, content: Uint8Array | FileToSend): Promise<void> {
    const [Body, ContentLength] =
      content instanceof Uint8Array
        ? [content, content.length]
        : [createReadStream(content.path), content.sizeBytes];
    const command = new this.#sdk.PutObjectCommand({ ...this.#at(key), Body, ContentLength });
    await this.#client.send(command).catch((cause: unknown) => {
      throw this.#failed(`${key} cannot be written`, cause);
    });
  }

  async #body(key: string): Promise<unknown> {
    try {
      return (await this.#client.send(new this.#sdk.GetObjectCommand(this.#at(key)))).Body;
    } catch (cause) {
      if (statusOf(cause, this.#sdk) === 404) return undefined;
      throw this.#failed(`${key} cannot be fetched`, cause);
    }
  }

  async read(key: string, path: string): Promise<boolean> {
    for (let attempt = 1; ; attempt++) {
      const body = await this.#body(key);
      if (body === undefined) return false;
      const file = await open(path, attempt === 1 ? "wx" : "w").catch((cause: unknown) => {
        throw new StoreError(`${path}: cannot be written`, { cause, exitCode: 1 });
      });
      try {
        if (body instanceof Readable) await pipeline(body, file.createWriteStream());
        return true;
      } catch (cause) {
        // The client asks again for an answer that does not come, not for one that breaks off.
        if (["ENOSPC", "EDQUOT"].includes(errorCode(cause) ?? ""))
          throw new StoreError(`${path}: cannot be written: the disk is full`, { cause, exitCode: 1 });
        if (attempt === fetchAttempts) throw this.#failed(`${key} cannot be fetched`, cause);
      } finally {
        await file.close().catch(() => {});
      }
    }
  }

  async readName(name: string, before?: NamedValue): Promise<NamedValue | undefined> {
    const condition = before === undefined ? {} : { IfNoneMatch: before.mark };
    try {
      const command = new this.#sdk.GetObjectCommand({ ...this.#at(namesPrefix + name), ...condition });
      const { Body, ETag } = await this.#client.send(command);
      return { value: (await Body?.transformToString()) ?? "", mark: ETag ?? "" };
    } catch (error) {
      const status = statusOf(error, this.#sdk);
      if (status === 304) return before;
      if (status === 404) return undefined;
      throw this.#failed(`the name ${name} cannot be read`, error);
    }
  }

  async setName(
    name: string,
    value: string,
    before: NamedValue | undefined,
  ): Promise<NamedValue | undefined> {
    const condition = before === undefined ? { IfNoneMatch: "*" } : { IfMatch: before.mark };
    const command = new this.#sdk.PutObjectCommand({
      ...this.#at(namesPrefix + name),
      Body: value,
      ...condition,
    });
    try {
      const { ETag } = await this.#client.send(command);
      return { value, mark: ETag ?? "" };
    } catch (error) {
      // 412: it says something else by now, perhaps by an answer of ours that was lost; 409: somebody is setting it.
      if (![409, 412].includes(statusOf(error, this.#sdk) ?? 0))
        throw this.#failed(`the name ${name} cannot be set`, error);
      const now = await this.readName(name);
      return now?.value === value ? now : undefined;
    }
  }

  /** @returns what begins so, its key without the place's own prefix */
  async #list(what: string, start: string): Promise<readonly StoredObject[]> {
    const { Bucket, Key } = this.#at(start);
    const own = Key.length - start.length;
    const found: StoredObject[] = [];
    try {
      const pages = this.#sdk.paginateListObjectsV2({ client: this.#client }, { Bucket, Prefix: Key });
      for await (const { Contents = [] } of pages)
        found.push(
          ...Contents.map((each) => ({ key: (each.Key ?? "").slice(own), sizeBytes: each.Size ?? 0 })),
        );
    } catch (error) {
      throw this.#failed(`${what} cannot be listed`, error);
    }
    return found;
  }

  list(folder: string): Promise<readonly StoredObject[]> {
    return this.#list(folder, `${folder}/`);
  }

  async remove(key: string): Promise<void> {
    await this.#client.send(new this.#sdk.DeleteObjectCommand(this.#at(key))).catch((cause: unknown) => {
      if (statusOf(cause, this.#sdk) === 404) return;
      throw this.#failed(`${key} cannot be deleted`, cause, { 403: mayNotDelete });
    });
  }

  async names(prefix: string): Promise<readonly string[]> {
    const found = await this.#list(`the names ${prefix}…`, namesPrefix + prefix);
    return found.map(({ key }) => key.slice(namesPrefix.length)).sort();
  }
}

/** @throws StoreError or ConfigError where there is no such bucket, or it cannot be reached */
export async function s3Store(url: string): Promise<ArtefactStore> {
  const store = new S3Store(url, await loadSdk());
  await store.check();
  return store;
}
