/**
 * A software GPU for tests: Vulkan's loader and driver that Debian's `chromium` brings. The loader is found by the process's
 * environment at its start, so that what is tested runs in a process of its own.
 */
import { existsSync } from "node:fs";

const folder = "/usr/lib/chromium";
const driver = `${folder}/vk_swiftshader_icd.json`;

export const softwareGpu = {
  absent: !existsSync(driver),
  environment: { VK_ICD_FILENAMES: driver, LD_LIBRARY_PATH: folder },
  titled: (title: string) =>
    existsSync(driver) ? title : `${title} (skipped: no software GPU: Debian's package chromium brings one)`,
};
