import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, it } from 'vitest';
import { type Campaign, campaignPolicy } from '../protocol/api.ts';
import { ApiClient } from './api-client.ts';
import { watch } from './campaign.ts';

const id = '00000000-0000-4000-8000-000000000000';
const time = '2026-01-01T00:00:00.000Z';
const zero = { pending: 0, offered: 0, downloading: 0, installing: 0, rebooting: 0 };
const counts = { ...zero, completed: 1, failed: 0, rollback: 0, skipped: 0 };
const metrics = {
  target: 1,
  counts,
  success_rate: 100,
  stage: { index: 0, name: 'all', state: 'running' },
  stages: [],
  started_at: time,
  errors: [],
};
const campaign = (status: Campaign['status']): Campaign => ({
  ...campaignPolicy.parse({}),
  id,
  name: 'watched',
  firmware_id: id,
  firmware_version: 'v2.0.0',
  firmware: 'TX-100/v2.0.0',
  target: {},
  status,
  status_reason: null,
  created_by: 'key:test',
  approved_by: null,
  created_at: time,
  updated_at: time,
  started_at: time,
  finished_at: null,
  archived: false,
});

it('goes on watching a campaign while the server is away for longer than one request is tried', async () => {
  let asked = 0;
  const server = createServer((request, response) => {
    asked += 1;
    // Away from the third request on, for more tries than one request has.
    if (asked > 2 && asked <= 8) {
      request.socket.destroy();
      return;
    }
    const body = request.url?.endsWith('/metrics') ? metrics : campaign(asked <= 2 ? 'active' : 'completed');
    response.setHeader('Content-Type', 'application/json').end(JSON.stringify(body));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  try {
    const { port } = server.address() as AddressInfo;
    const over = await watch(new ApiClient(`http://127.0.0.1:${port}`, 'key'), id, {
      json: true,
      timeoutMs: undefined,
    });
    expect(over.status).toBe('completed');
  } finally {
    server.close();
  }
}, 60_000);

it('gives up where no server has answered yet', async () => {
  const nowhere = new ApiClient('http://127.0.0.1:1', 'key');
  await expect(watch(nowhere, id, { json: true, timeoutMs: undefined })).rejects.toThrow('cannot be reached');
}, 60_000);
