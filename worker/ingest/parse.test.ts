import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseMessage } from './parse.ts';

const heartbeat = { serial_no: 'D1', model: 'TX-100', current_firmware: 'v1.0.0', timestamp: 1_700_000_000 };
const parse = (topic: string, payload: unknown) =>
  parseMessage(topic, typeof payload === 'string' ? payload : JSON.stringify(payload), 1);

describe('a device message', () => {
  it('is taken with fields nobody knows yet', () => {
    const taken = parse('devices/D1/heartbeat', { ...heartbeat, extra: { deep: [1] } });
    expect(taken).toMatchObject({ message: { kind: 'heartbeat', serial_no: 'D1', heartbeat } });
  });

  it.each([
    ['a payload that contradicts its topic', 'devices/D2/heartbeat', heartbeat, /contradicts/],
    ['no JSON', 'devices/D1/heartbeat', '{"serial_no":', /not JSON/],
    ['a missing field', 'devices/D1/heartbeat', { serial_no: 'D1' }, /model/],
    [
      'a status nobody knows',
      'devices/D1/status',
      { campaign_id: crypto.randomUUID(), status: 'dancing', timestamp: 1 },
      /^status: /,
    ],
    [
      "a report of nobody's update",
      'devices/D1/status',
      { status: 'completed', timestamp: 1 },
      /^campaign_id: /,
    ],
    ["somebody else's topic", 'devices/D1/command', heartbeat, /topic/],
    [
      'a NUL, which no database keeps',
      'devices/D1/heartbeat',
      { ...heartbeat, state: 'on\0' },
      /state: .*NUL/,
    ],
    [
      'half a character in a name',
      'devices/D1/heartbeat',
      { ...heartbeat, apps: { '\ud800': 'v1' } },
      /apps/,
    ],
    [
      'a NUL in a value',
      'devices/D1/notify',
      { setting_changed: 'poll', new_value: '\0', timestamp: 1 },
      /new_value: .*NUL/,
    ],
    ['one that is too long in bytes', 'devices/D1/notify', `"${'ä'.repeat(33_000)}"`, /longer/],
    ['a payload that is too long', 'devices/D1/notify', `"${'x'.repeat(70_000)}"`, /longer/],
  ])('is refused with a reason: %s', (_what, topic, payload, reason) => {
    const refused = parse(topic, payload);
    expect('reason' in refused && refused.reason).toMatch(reason);
  });

  it('that failed is taken with what it says, though it was cut out of a log in the middle of a character', async () => {
    const report = { campaign_id: crypto.randomUUID(), status: 'failed', detail: 'a\0b\ud83d', timestamp: 1 };
    expect(parse('devices/D1/status', report)).toMatchObject({
      message: { report: { detail: 'a\u{fffd}b\u{fffd}' } },
    });
  });

  it('tells the last will from a report', async () => {
    expect(parse('devices/D1/status', { status: 'offline' })).toMatchObject({
      message: { kind: 'offline' },
    });
  });

  it('is taken or refused, never an exception, whatever a hostile device sends', async () => {
    const topic = fc.constantFrom(
      'devices/D1/heartbeat',
      'devices/D1/status',
      'devices/D1/notify',
      '#',
      'devices/+/x',
    );
    const payload = fc.oneof(fc.string(), fc.json(), fc.constant('['.repeat(20_000)));
    fc.assert(
      fc.property(topic, payload, (t, p) => {
        const result = parse(t, p);
        expect('message' in result || result.reason.length > 0).toBe(true);
      }),
    );
  });
});
