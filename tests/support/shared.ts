/** The optional folder beside the repository: real models and data. What is not there is skipped, and says so. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { packageRoot } from "../../src/core/packageInfo.ts";

export const sharedFolder = join(packageRoot, "../shared");

/** Something that a clean clone may lack. */
export interface Optional {
  readonly path: string;
  readonly absent: boolean;
  /** Of a test that needs it: `title` alone where it is there, else with the reason why the test is skipped. */
  titled(title: string): string;
}

/** @param reason why it may be absent; else that it is not there */
export function optional(path: string, reason = `${path} is not here`): Optional {
  const absent = !existsSync(path);
  return { path, absent, titled: (title) => (absent ? `${title} (skipped: ${reason})` : title) };
}

/** @param name inside ../shared */
export function shared(name: string): Optional {
  return optional(join(sharedFolder, name), `../shared/${name} is not here`);
}

/** The folder of a golden tokenizer; one without a file of its own is about the optional model of the same name. */
export function goldenTokenizer(name: string): Optional {
  const own = optional(join(packageRoot, "tests/goldens/tokenizers", name, "tokenizer.json"));
  if (!own.absent) return { ...own, path: join(own.path, "..") };
  const { path, ...rest } = shared(`models/${name}/tokenizer.json`);
  return { path: join(path, ".."), ...rest };
}
