/** What is remembered of the update under way, and what working on it needs. */
import { z } from 'zod';
import { otaUpdate, type UpdateReport } from '../protocol/messages.ts';
import type { DeviceConfiguration } from './configuration.ts';
import type { Server } from './server.ts';
import type { SlotName, Slots } from './slots.ts';

/** An update as it is kept on disk. */
export const updateRecord = z.object({
  command: otaUpdate,
  phase: z.enum(['downloading', 'postponed', 'installing', 'rebooting']),
  from_version: z.string(),
  /** While it is postponed: until when, Unix seconds. */
  until: z.int().optional(),
  /** Whoever stands beside the device has said that it may be installed. */
  agreed: z.boolean().optional(),
  rollback_floor: z.int().optional(),
});
export type UpdateRecord = z.infer<typeof updateRecord>;

/** What tells of an update as it happens. */
export type UpdateEvent =
  | 'download_started'
  | 'download_progress'
  | 'connection_dropped'
  | 'resumed'
  | 'verified'
  | 'kept'
  | 'postponed'
  | 'installed'
  | 'rebooting'
  | 'committed'
  | 'boot_failed'
  | 'rolled_back'
  | 'failed';

export interface UpdaterHost {
  config: DeviceConfiguration;
  server: Server;
  slots: Slots;
  /** The slot that runs now. */
  running: SlotName;
  report(report: Omit<UpdateReport, 'campaign_id' | 'timestamp'>, campaignId: string): void;
  event(event: UpdateEvent, detail?: Record<string, unknown>): void;
  /** Whether the new version works; asked once, after the restart into it. */
  bootCheck(version: string): Promise<boolean>;
  /** Restarts the device. Nothing after it runs in this life. */
  reboot(): void;
  /** May break a download on purpose; only virtual devices do. */
  disturb(bytes: number, total: number): AbortSignal | undefined;
  signal: AbortSignal;
}

/** Whether what was postponed may go on when it is offered. */
export const mayGoOn = ({ until = 0, agreed }: UpdateRecord): boolean =>
  agreed === true || Date.now() / 1000 >= until;
