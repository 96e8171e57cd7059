/** A member for tests. */
import type { Member } from './member.ts';

/** One nothing has happened to yet, as it was at a moment (Unix milliseconds). */
export const newMemberRow = (now: number): Member => ({
  serial_no: 'D1',
  device_id: 'd',
  stage: 0,
  state: 'pending',
  attempt: 0,
  from_version: 'v1',
  grp: null,
  version: 'v1',
  gateway: null,
  zone: null,
  failure: null,
  error: null,
  detail: null,
  offered_at: null,
  downloading_at: null,
  installing_at: null,
  rebooting_at: null,
  ended_by: null,
  unanswered: 0,
  earlier: null,
  started_at: null,
  finished_at: null,
  updated_at: now,
  next_at: null,
  wake_at: null,
  revision: 1,
});
