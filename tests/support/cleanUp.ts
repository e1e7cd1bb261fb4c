/** Runs before every test file, also where files share their modules: hence not in `folders` and `untilEnd`. */
import { afterAll, vi } from "vitest";
import { removeFolders } from "./folders.ts";
import { closeAll } from "./untilEnd.ts";

afterAll(async () => {
  await closeAll();
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
  removeFolders();
});
