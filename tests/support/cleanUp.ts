/** Runs before every test file, also where files share their modules: hence not in `folders`. */
import { afterAll } from "vitest";
import { removeFolders } from "./folders.ts";

afterAll(removeFolders);
