/** Where the files of an exported store lie: under an address, or in the browser's own file system. */
import { CheckpointError, DataError } from "../core/errors.ts";

/** Reads files by their path inside a folder. */
export interface FileSource {
  /** The folder, for messages. */
  readonly where: string;
  /** @returns undefined where there is no such file */
  read(name: string): Promise<Uint8Array | undefined>;
}

const NOT_FOUND = 404;

/** The files under an address. @throws DataError where the server answers with an error, or cannot be reached */
export function addressSource(address: string | URL, signal?: AbortSignal): FileSource {
  const where = String(address).replace(/\/+$/, "");
  return {
    where,
    read: async (name) => {
      const place = `${where}/${name}`;
      const response = await fetch(place, signal ? { signal } : {}).catch((cause: unknown) => {
        signal?.throwIfAborted();
        throw new DataError(`${place}: cannot be fetched`, {
          cause,
          hint: "Is it served, and may this page ask for it (CORS)?",
        });
      });
      if (response.status === NOT_FOUND) return undefined;
      if (!response.ok) throw new DataError(`${place}: the server answers ${response.status}`);
      return new Uint8Array(await response.arrayBuffer());
    },
  };
}

/** @throws CheckpointError where the file is missing */
export async function requireFile(
  { where, read }: FileSource,
  name: string,
  hint = "Make the folder with accrete export <store> --to onnx, and serve all of it.",
): Promise<Uint8Array> {
  const bytes = await read(name);
  if (bytes !== undefined) return bytes;
  throw new CheckpointError(`${where}: ${name} is missing`, { hint });
}
