/** A bucket of S3, or of any server that speaks it, as artefact store. */

import { createReadStream } from "node:fs";
import { open } from "node:fs/promises";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { S3Client, S3ServiceException } from "@aws-sdk/client-s3";
import { ConfigError, messageOf, StoreError } from "../../core/errors.ts";
import { objectKey } from "./folderStore.ts";
import type { ArtefactStore } from "./store.ts";

interface Place {
  readonly bucket: string;
  /** Without a slash at its end; may be empty. */
  readonly prefix: string;
}

/** @throws ConfigError where it is not `s3://bucket/prefix` */
function parsePlace(url: string): Place {
  const [, bucket, prefix = ""] = /^s3:\/\/([a-z0-9][a-z0-9.-]+)(?:\/(.*?))?\/?$/.exec(url) ?? [];
  if (bucket !== undefined) return { bucket, prefix };
  throw new ConfigError(`--artefacts ${url}: expected s3://bucket or s3://bucket/prefix`);
}

type Sdk = typeof import("@aws-sdk/client-s3");

async function loadSdk(): Promise<Sdk> {
  try {
    return await import("@aws-sdk/client-s3");
  } catch (cause) {
    throw new StoreError("s3:// needs the package @aws-sdk/client-s3, which is not installed", {
      cause,
      hint: "Install it beside accrete-lm: npm install @aws-sdk/client-s3. Or share a folder: --artefacts <folder>.",
    });
  }
}

/** A slow answer is given up and asked for anew, with pauses that grow; adaptive to a server that asks for less. */
function createClient({ S3Client }: Sdk): S3Client {
  const endpoint = process.env.AWS_ENDPOINT_URL_S3 ?? process.env.AWS_ENDPOINT_URL;
  return new S3Client({
    region: process.env.AWS_REGION ?? process.env.AWS_DEFAULT_REGION ?? "us-east-1",
    maxAttempts: 6,
    requestHandler: { connectionTimeout: 5_000, requestTimeout: 60_000, throwOnRequestTimeout: true },
    // Servers of one's own have no names for buckets.
    ...(endpoint !== undefined && { endpoint, forcePathStyle: true }),
  });
}

const hints: Readonly<Record<number, string>> = {
  301: "The bucket lies in another region: set AWS_REGION.",
  403: "The credentials may not read or write there: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile.",
  404: "There is no such bucket: make it, or correct --artefacts.",
};

function statusOf(error: unknown, { S3ServiceException }: Sdk): number | undefined {
  return error instanceof S3ServiceException ? statusIn(error) : undefined;
}

function statusIn({ $metadata }: S3ServiceException): number | undefined {
  return $metadata.httpStatusCode;
}

/** @throws StoreError or ConfigError where there is no such bucket, or it cannot be reached */
export async function s3Store(url: string): Promise<ArtefactStore> {
  const { bucket: Bucket, prefix } = parsePlace(url);
  const sdk = await loadSdk();
  const client = createClient(sdk);
  const keyOf = (name: string) => (prefix === "" ? name : `${prefix}/${name}`);
  const failed = (what: string, cause: unknown) => {
    const status = statusOf(cause, sdk);
    const hint = hints[status ?? 0];
    return new StoreError(
      `${url}: ${what}${status === undefined ? `: ${messageOf(cause)}` : ` (HTTP ${status})`}`,
      {
        cause,
        exitCode: status === undefined || status >= 500 ? 1 : 2,
        hint: hint ?? "Is the server reachable from here? AWS_ENDPOINT_URL names one other than Amazon's.",
      },
    );
  };
  await client.send(new sdk.HeadBucketCommand({ Bucket })).catch((cause: unknown) => {
    throw failed("the bucket cannot be used", cause);
  });
  const has = async (hash: string) => {
    try {
      await client.send(new sdk.HeadObjectCommand({ Bucket, Key: keyOf(objectKey(hash)) }));
      return true;
    } catch (error) {
      if (statusOf(error, sdk) === 404) return false;
      throw failed(`${hash} cannot be looked up`, error);
    }
  };
  const send = async (hash: string, Body: Uint8Array | Readable, ContentLength: number) => {
    const command = new sdk.PutObjectCommand({ Bucket, Key: keyOf(objectKey(hash)), Body, ContentLength });
    await client.send(command).catch((cause: unknown) => {
      throw failed(`${hash} cannot be written`, cause);
    });
  };
  const readName: ArtefactStore["readName"] = async (name) => {
    try {
      const { Body, ETag } = await client.send(
        new sdk.GetObjectCommand({ Bucket, Key: keyOf(`names/${name}`) }),
      );
      return { value: (await Body?.transformToString()) ?? "", mark: ETag ?? "" };
    } catch (error) {
      if (statusOf(error, sdk) === 404) return undefined;
      throw failed(`the name ${name} cannot be read`, error);
    }
  };
  return {
    place: url,
    has,
    async put(hash, content) {
      if (!(await has(hash))) await send(hash, content, content.length);
    },
    async putFile(hash, path, size) {
      if (!(await has(hash))) await send(hash, createReadStream(path), size);
    },
    async fetch(hash, path) {
      const file = await open(path, "wx").catch((cause: unknown) => {
        throw new StoreError(`${path}: cannot be written`, { cause, exitCode: 1 });
      });
      try {
        const { Body } = await client.send(new sdk.GetObjectCommand({ Bucket, Key: keyOf(objectKey(hash)) }));
        if (Body instanceof Readable) await pipeline(Body, file.createWriteStream());
      } catch (cause) {
        throw failed(`${hash} cannot be fetched`, cause);
      } finally {
        await file.close().catch(() => {});
      }
    },
    readName,
    async setName(name, value, before) {
      const condition = before === undefined ? { IfNoneMatch: "*" } : { IfMatch: before.mark };
      const Key = keyOf(`names/${name}`);
      try {
        await client.send(new sdk.PutObjectCommand({ Bucket, Key, Body: value, ...condition }));
        return true;
      } catch (error) {
        // 412: it says something else by now; 409: somebody is setting it at this moment.
        if ([409, 412].includes(statusOf(error, sdk) ?? 0)) return (await readName(name))?.value === value;
        throw failed(`the name ${name} cannot be set`, error);
      }
    },
  };
}
