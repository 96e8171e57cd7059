/** Campaigns on devices a test plays itself, message by message. */
import { expect } from 'vitest';
import { beat, deliver, type Said } from './ingest.ts';
import { eventually, type Skylark } from './skylark.ts';

type Metrics = {
  counts: Record<string, number>;
  stage: { index: number; name: string; state: string };
  stages: { target: number; state: string; counts: Record<string, number> }[];
};
export type Update = {
  serial_no: string;
  status: string;
  stage: number;
  from_version: string | null;
  error: string | null;
  detail: string | null;
  updated_at: string;
};

export const serials = (prefix: string, n: number) => Array.from({ length: n }, (_, i) => `${prefix}-${i}`);

/** What a test says and asks; `sky` is asked for each time, since it starts after this. */
export function playedFleet(sky: () => Skylark) {
  const fleet = (names: readonly string[], of: string, more: object = {}) =>
    deliver(
      sky(),
      names.map((name) => beat(name, { model: of, ...more })),
    );
  const said = (serial_no: string, id: string, status: string, more: object = {}): Said => ({
    serial_no,
    channel: 'status',
    payload: { campaign_id: id, status, timestamp: Math.floor(Date.now() / 1000), ...more },
  });
  /** The broker says that it is gone. */
  const gone = (serial_no: string): Said => ({
    serial_no,
    channel: 'status',
    payload: { status: 'offline' },
    at: Date.now() + 1,
  });
  const make = async (body: object) => {
    const made = await sky().api('POST', '/campaigns', { name: 'engine', ...body });
    expect(made.status, JSON.stringify(made.body)).toBe(201);
    return String(made.body.id);
  };
  const start = async (body: object) => {
    const id = await make(body);
    const started = await sky().api('POST', `/campaigns/${id}/start`);
    expect(started.status, JSON.stringify(started.body)).toBe(200);
    return id;
  };
  const campaign = async (id: string) => (await sky().api('GET', `/campaigns/${id}`)).body;
  const metrics = async (id: string) =>
    (await sky().api('GET', `/campaigns/${id}/metrics`)).body as unknown as Metrics;
  const members = async (id: string, status?: string) => {
    const filter = status === undefined ? '' : `&status=${status}`;
    const { body } = await sky().api('GET', `/campaigns/${id}/devices?limit=200${filter}`);
    return body.items as Update[];
  };
  const offered = (id: string, n: number) =>
    eventually(`${n} offers`, async () => {
      const list = (await members(id, 'offered')).map(({ serial_no }) => serial_no);
      return list.length >= n && list;
    });
  const become = (id: string, status: string) =>
    eventually(`the campaign to be ${status}`, async () => (await campaign(id)).status === status);
  /** A device takes its update and comes back with it. */
  const update = async (id: string, names: readonly string[], of: string, version: string) => {
    await deliver(
      sky(),
      names.map((name) => said(name, id, 'downloading')),
    );
    await deliver(
      sky(),
      names.map((name) => beat(name, { model: of, current_firmware: version })),
    );
  };
  return { fleet, said, gone, make, start, campaign, metrics, members, offered, become, update };
}
