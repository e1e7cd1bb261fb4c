/** A picture of few colours, as PNG with a palette (RFC 2083). */
import { crc32, deflateSync } from "node:zlib";
import type { Hex } from "./colour.ts";

const signature = Buffer.from([137, 80, 78, 71, 13, 10, 26, 10]);

function chunk(type: string, data: Uint8Array): Uint8Array {
  const body = Buffer.concat([Buffer.from(type, "latin1"), data]);
  const ends = Buffer.alloc(8);
  ends.writeUInt32BE(data.length, 0);
  ends.writeUInt32BE(crc32(body), 4);
  return Buffer.concat([ends.subarray(0, 4), body, ends.subarray(4)]);
}

/**
 * @param pixels rows of places in the palette; the last place of all is transparent
 * @param palette 255 colours at most
 * @returns a data URI
 */
export function pngOf(pixels: readonly Uint8Array[], palette: readonly Hex[]): string {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(pixels[0]?.length ?? 0, 0);
  header.writeUInt32BE(pixels.length, 4);
  // Eight bits a pixel, each a place in the palette.
  header.set([8, 3, 0, 0, 0], 8);
  const colours = Buffer.from(`${palette.map((hex) => hex.slice(1)).join("")}000000`, "hex");
  const opacity = Buffer.from([...palette.map(() => 255), 0]);
  // Each row as it is, without a filter.
  const rows = Buffer.concat(pixels.flatMap((row) => [Uint8Array.of(0), row]));
  const parts = [
    signature,
    chunk("IHDR", header),
    chunk("PLTE", colours),
    chunk("tRNS", opacity),
    chunk("IDAT", deflateSync(rows, { level: 9 })),
    chunk("IEND", new Uint8Array()),
  ];
  return `data:image/png;base64,${Buffer.concat(parts).toString("base64")}`;
}
