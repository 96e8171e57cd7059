/**
 * A shard's presence as one blob: nine bytes a device, so that remembering sixty thousand of them costs one row
 * written, and nothing exact to the second is lost with the memory. Pure.
 */
import type { Presence } from './presence.ts';

/** Last seen and the device's clock (Unix seconds, 32 bits each), flags. */
const BYTES = 9;
const STORED = 1;
const ONLINE = 2;

/** What the blob says of one slot; times as in {@link Presence}. */
export type Unpacked = Pick<Presence, 'online' | 'last_seen' | 'said_at'>;

export function pack(presences: Iterable<Presence>, slots: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(slots * BYTES);
  const view = new DataView(bytes.buffer);
  for (const { slot, last_seen, said_at, online } of presences) {
    const at = slot * BYTES;
    view.setUint32(at, Math.floor(last_seen / 1000));
    view.setUint32(at + 4, said_at);
    view.setUint8(at + 8, STORED | (online ? ONLINE : 0));
  }
  return bytes;
}

/** `undefined` for a slot that was not there when the blob was made. */
export function unpack(blob: ArrayBuffer, slot: number): Unpacked | undefined {
  const at = slot * BYTES;
  if (at + BYTES > blob.byteLength) return undefined;
  const view = new DataView(blob);
  const flags = view.getUint8(at + 8);
  if ((flags & STORED) === 0) return undefined;
  return {
    last_seen: view.getUint32(at) * 1000,
    said_at: view.getUint32(at + 4),
    online: (flags & ONLINE) !== 0,
  };
}
