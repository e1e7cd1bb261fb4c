/** The page for people: its files, as `npm run build` leaves them. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { extname, join } from "node:path";
import type { OpenAPIHono } from "@hono/zod-openapi";
import { packageRoot } from "../../core/packageInfo.ts";
import { RequestError } from "../engine/errors.ts";
import type { ServerEnv } from "./requests.ts";

export const builtPage = join(packageRoot, "dist/page");

const types: Readonly<Record<string, string>> = {
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".svg": "image/svg+xml",
};

/** Names of files carry a hash of what is in them, so they never change; the page that names them is asked for each time. */
export function addPageRoutes(app: OpenAPIHono<ServerEnv>, folder: string): void {
  const read = (name: string) => new Uint8Array(readFileSync(join(folder, name)));
  const names = new Set(existsSync(folder) ? readdirSync(folder) : []);
  const files = new Map([...names].map((name) => [name, read(name)]));
  const page = files.get("index.html");

  app.get("/", (c) => {
    if (page === undefined)
      throw new RequestError(404, "NO_PAGE", "the page was not built", {
        hint: "npm run build makes it; GET /docs lists what else there is.",
      });
    return c.body(page, 200, { "Content-Type": "text/html; charset=utf-8", "Cache-Control": "no-cache" });
  });
  app.get("/page/:file", (c) => {
    const name = c.req.param("file");
    const file = files.get(name);
    const type = types[extname(name)];
    if (file === undefined || type === undefined) return c.notFound();
    return c.body(file, 200, {
      "Content-Type": type,
      "Cache-Control": "public, max-age=31536000, immutable",
    });
  });
}
