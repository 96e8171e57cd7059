/** The course of one device's update, a step a second. */
import type { OtaUpdate, UpdateReport } from '../../protocol/messages.ts';

/** How it ends: with the new version, back at the old one, or not at all. */
export type Fate = 'completed' | 'rollback' | 'installing';

type Step = Omit<UpdateReport, 'timestamp'>;

const DOWNLOADING = 3;
const INSTALLING = 3;

export class Update {
  readonly fate: Fate;
  /** Resolves when the device has got as far as it will. */
  readonly over: Promise<void>;
  readonly #over = Promise.withResolvers<void>();
  #offer: OtaUpdate | undefined;
  #steps = 0;
  #ended = false;

  constructor(fate: Fate) {
    this.fate = fate;
    this.over = this.#over.promise;
  }

  get version(): string {
    return this.#offer?.version ?? '';
  }

  /** Offered again, it goes on as it was. */
  begin(offer: OtaUpdate): void {
    this.#offer ??= offer;
  }

  /** What the device says next of its update; `restarted` when it runs the new version; nothing before and after. */
  next(): Step | 'restarted' | undefined {
    if (this.#offer === undefined || this.#ended) return undefined;
    const { campaign_id, version } = this.#offer;
    this.#steps += 1;
    if (this.#steps <= DOWNLOADING) return { campaign_id, status: 'downloading' };
    if (this.#steps === DOWNLOADING + INSTALLING && this.fate === 'installing') this.#over.resolve();
    if (this.#steps <= DOWNLOADING + INSTALLING || this.fate === 'installing') {
      return { campaign_id, status: 'installing' };
    }
    if (this.fate === 'completed' && this.#steps === DOWNLOADING + INSTALLING + 1) {
      return { campaign_id, status: 'rebooting' };
    }
    this.#ended = true;
    this.#over.resolve();
    if (this.fate === 'completed') return 'restarted';
    return { campaign_id, status: 'rollback', failed_firmware: version, error: 'boot_failure' };
  }
}
