/** What several stores of one process hold together: each backbone is loaded once, and its sessions are shared. */
import type { LoadedBackbone } from "../continual/types.ts";
import { type LoadBackboneOptions, loadBackbone } from "../model/settings/backbone.ts";
import { openDevice } from "../runtime/devices.ts";
import { sharing } from "../runtime/sharing.ts";
import type { Device, Runtime } from "../runtime/types.ts";

/** Given to `openStore` as `shared`; ends with the last store that holds something of it. */
export class SharedBackbones {
  private readonly runtimes = new Map<Device, Promise<Runtime>>();
  private readonly loaded = new Map<string, Promise<LoadedBackbone>>();

  /** As `openDevice`, with sessions that are shared. */
  readonly openDevice = (device: Device = "cpu"): Promise<Runtime> => {
    const runtime = this.runtimes.get(device) ?? openDevice(device).then(sharing);
    this.runtimes.set(device, runtime);
    return runtime;
  };

  /** As `loadBackbone`, once for each place, revision and hash. */
  load(source: string, wanted: Omit<LoadBackboneOptions, "signal"> = {}): Promise<LoadedBackbone> {
    const key = JSON.stringify([source, wanted]);
    const loading = this.loaded.get(key) ?? loadBackbone(source, wanted);
    this.loaded.set(key, loading);
    // Whoever asks next tries anew.
    loading.catch(() => this.loaded.delete(key));
    return loading;
  }
}
