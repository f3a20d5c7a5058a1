import type { DeviceModel } from "./edgeplug.js";
import { Reply, Sample } from "./edgeplug.js";

export { decode, encode } from "./edgeplug.js";

/** What the plugin sees, and what it did. Everything may be changed while a test runs. */
export interface Host {
  config: Record<string, string>;
  /** Content by path. */
  files: Record<string, string | Uint8Array>;
  /** Content by the update's id. */
  firmware: Record<string, string | Uint8Array>;
  state: Record<string, Uint8Array>;
  uniqueId: string;
  connected: boolean;
  /** Whether the right `disconnect` is granted. */
  mayDisconnect: boolean;
  template: DeviceModel | null;
  desired: Record<string, any>;
  desiredVersion: number;
  reported: Record<string, any>;
  reportedVersion: number;
  /** What becomes of every sample that is sent: `accepted`, `held-back`, `rejected: the reason`, … */
  outcome: string;
  /** Samples that were accepted. */
  sent: Sample[];
  /** Level and message. */
  log: [string, string][];
  /** Ends by id. */
  finished: Record<string, Reply>;
  /** Id, percent and message. */
  progress: [string, number, string][];
}

/**
 * From here on the plugin's calls are answered by the host that is returned; every call makes a new one.
 *
 *     const host = play({ files: { "/proc/loadavg": "0.50 0.1 0.1 1/2 3" } });
 *     assert.deepEqual(new Load().sample().values, { load: 0.5 });
 */
export function play(given?: Partial<Host>): Host;
