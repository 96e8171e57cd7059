/**
 * The devices a campaign is for, on their way to becoming its members: appended as the ledger lists them, in buckets
 * of their hash, and taken out in hash order. So the members' rows are written in the order of their key, and the
 * millionth costs no more than the first.
 */
import { hash32 } from '../../protocol/shards.ts';

/** A device of the target, and why it takes no part, where it does not. */
export interface NewMember {
  serial_no: string;
  device_id: string;
  from_version: string | null;
  gateway: string | null;
  zone: string | null;
  group: string | null;
  skip: { error: string; detail: string } | null;
}

/** A member to be, in its place in the order. */
export interface FoundDevice extends Record<string, SqlStorageValue> {
  h: number;
  serial_no: string;
  device_id: string;
  from_version: string | null;
  gateway: string | null;
  zone: string | null;
  grp: string | null;
  error: string | null;
  detail: string | null;
}

const BUCKET_BITS = 8;

/** The device in its place. */
export function foundDevice({ group, skip, ...device }: NewMember): FoundDevice {
  return {
    ...device,
    h: hash32(device.serial_no),
    grp: group,
    error: skip?.error ?? null,
    detail: skip?.detail ?? null,
  };
}

/** Devices that name no gateway are reached through their uplink, where that is known. */
export const behindUplinks = <Device extends FoundDevice>(
  devices: readonly Device[],
  uplinks: Readonly<Record<string, string>>,
): Device[] =>
  devices.map((device) => ({ ...device, gateway: device.gateway ?? uplinks[device.serial_no] ?? null }));

export class Found {
  readonly #sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
  }

  create(): void {
    this.drop();
    this.#sql.exec(`CREATE TABLE found (
      bucket INTEGER, seq INTEGER, h INTEGER, serial_no TEXT, device_id TEXT, from_version TEXT, gateway TEXT,
      zone TEXT, grp TEXT, error TEXT, detail TEXT, PRIMARY KEY (bucket, seq)) WITHOUT ROWID`);
  }

  drop(): void {
    this.#sql.exec('DROP TABLE IF EXISTS found');
  }

  /** Adds devices, none of them twice; `before` is how many were added before. */
  add(devices: readonly NewMember[], before: number): void {
    const rows = devices.map((device, i) => {
      const f = foundDevice(device);
      const fixed = [f.h >>> (32 - BUCKET_BITS), before + i, f.h, f.serial_no, f.device_id, f.from_version];
      return [...fixed, f.gateway, f.zone, f.grp, f.error, f.detail];
    });
    const columns = Array.from({ length: 11 }, (_, i) => `value->>${i}`).join(', ');
    // OR FAIL: see `member-rows.ts`.
    this.#sql.exec(`INSERT OR FAIL INTO found SELECT ${columns} FROM json_each(?)`, JSON.stringify(rows));
  }

  /**
   * How many devices of each group, and of none (''), are among the first `most` of those that take part, in the
   * order of their hashes.
   */
  groups(most: number): Map<string, number> {
    const sums = new Map<string, number>();
    let left = most;
    const add = (group: string, n: number) => sums.set(group, (sums.get(group) ?? 0) + n);
    const buckets = this.#sql.exec<{ bucket: number; grp: string; n: number }>(
      `SELECT bucket, coalesce(grp, '') AS grp, count(*) AS n FROM found WHERE error IS NULL GROUP BY 1, 2 ORDER BY 1`,
    );
    for (const [bucket, groups] of Map.groupBy(buckets, ({ bucket }) => bucket)) {
      const all = groups.reduce((sum, { n }) => sum + n, 0);
      if (all <= left) for (const { grp, n } of groups) add(grp, n);
      else {
        const first = this.bucket(bucket).filter(({ error }) => error === null);
        for (const { grp } of first.slice(0, left)) add(grp ?? '', 1);
      }
      left -= Math.min(left, all);
    }
    return sums;
  }

  /** How many of those that take part lie at or below a hash. */
  below(h: number): number {
    return this.#sql
      .exec<{ n: number }>('SELECT count(*) AS n FROM found WHERE error IS NULL AND h <= ?', h)
      .one().n;
  }

  /** The first bucket with anything in it from `from` on. */
  next(from: number): number | undefined {
    const [row] = this.#sql
      .exec<{ bucket: number }>('SELECT bucket FROM found WHERE bucket >= ? ORDER BY bucket LIMIT 1', from)
      .toArray();
    return row?.bucket;
  }

  /** A bucket's devices in their order. */
  bucket(bucket: number): FoundDevice[] {
    return this.#sql
      .exec<FoundDevice>(
        `SELECT h, serial_no, device_id, from_version, gateway, zone, grp, error, detail FROM found WHERE bucket = ?
         ORDER BY h, serial_no`,
        bucket,
      )
      .toArray();
  }
}
