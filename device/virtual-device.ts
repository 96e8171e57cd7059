/** A device without hardware: the same agent on files, restarted by starting a new one. Faults can be planted. */
import { z } from 'zod';
import { Agent, type AgentEvent } from './agent.ts';
import type { DeviceConfiguration } from './configuration.ts';

const CONNECT_MS = 30_000;

export const faults = z.object({
  /** These versions do not pass their boot check. */
  fail_boot_of: z.array(z.string()).optional(),
  /** The connection is cut once when this share (0 to 1) of a download is there. */
  drop_download_at: z.number().min(0).max(1).optional(),
});
export type Faults = z.infer<typeof faults>;

export class VirtualDevice {
  readonly #config: DeviceConfiguration;
  readonly #faults: Faults;
  readonly #event: (event: AgentEvent, detail?: Record<string, unknown>) => void;
  #agent: Agent | undefined;
  #dropped = false;
  #stopped = false;
  #restart: Promise<void> | undefined;

  constructor(
    config: DeviceConfiguration,
    planted: Faults,
    event: (event: AgentEvent, detail?: Record<string, unknown>) => void,
  ) {
    this.#config = config;
    this.#faults = planted;
    this.#event = event;
  }

  get serialNo(): string {
    return this.#config.serial_no;
  }

  /** Switches it on; resolves when it is connected. */
  async start(): Promise<void> {
    this.#agent = new Agent({
      config: this.#config,
      event: this.#event,
      connect_within_ms: CONNECT_MS,
      hardware: {
        bootCheck: async (version) => this.#faults.fail_boot_of?.includes(version) !== true,
        reboot: () => this.#reboot(),
        disturb: (bytes, total) => this.#disturb(bytes, total),
      },
    });
    await this.#agent.start();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#restart;
    await this.#agent?.stop();
  }

  /** The agent asks for this from within; it ends first, then the next life begins. */
  #reboot(): void {
    const before = this.#agent;
    this.#restart = new Promise<void>((resolve) => setImmediate(resolve))
      .then(() => before?.stop())
      .then(() => (this.#stopped ? undefined : this.start()))
      .catch((error: unknown) => {
        const line = { level: 'error', part: 'device', serial_no: this.serialNo, msg: String(error) };
        process.stderr.write(`${JSON.stringify(line)}\n`);
      });
  }

  #disturb(bytes: number, total: number): AbortSignal | undefined {
    const at = this.#faults.drop_download_at;
    if (at === undefined || this.#dropped || bytes < at * total) return undefined;
    this.#dropped = true;
    return AbortSignal.abort();
  }
}
