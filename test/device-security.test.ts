import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connectAsync, type MqttClient } from 'mqtt';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { checkConfiguration } from '../device/configuration.ts';
import { Server } from '../device/server.ts';
import { openSigner } from './faults/certificates.ts';
import { beat, deliver } from './ingest.ts';
import { publishFirmware } from './publish.ts';
import { eventually, type Skylark, startSkylark } from './skylark.ts';

let sky: Skylark;
let directory: string;
const file = (name: string) => join(directory, name);
const openssl = (...args: string[]) =>
  execFileSync('openssl', args, { cwd: directory, stdio: ['ignore', 'pipe', 'pipe'] }).toString();

const enrolPost = (serial: string, token: string, csr: string) =>
  fetch(`${sky.facts.url}/.well-known/est/simpleenroll`, {
    method: 'POST',
    headers: {
      Authorization: `Basic ${Buffer.from(`${serial}:${token}`).toString('base64')}`,
      'Content-Type': 'application/pkcs10',
    },
    body: csr,
  });

async function token(serial: string): Promise<string> {
  await sky.api('POST', '/devices/register', { serial_no: serial, model: 'TX-100' });
  const { body } = await sky.api('POST', `/devices/${serial}/enrolment-tokens`);
  return String(body.token);
}

/** Enrols with nothing but openssl and HTTP, as a device maker would at first. */
async function enrol(serial: string): Promise<void> {
  openssl('ecparam', '-name', 'prime256v1', '-genkey', '-noout', '-out', `${serial}.sec1.pem`);
  openssl('pkcs8', '-topk8', '-nocrypt', '-in', `${serial}.sec1.pem`, '-out', `${serial}.key.pem`);
  openssl(
    'req',
    '-new',
    '-key',
    `${serial}.key.pem`,
    '-subj',
    '/CN=whatever/OU=skylark-bridge',
    '-outform',
    'DER',
    '-out',
    `${serial}.csr`,
  );
  const response = await enrolPost(
    serial,
    await token(serial),
    readFileSync(file(`${serial}.csr`)).toString('base64'),
  );
  expect(response.status).toBe(200);
  writeFileSync(file(`${serial}.p7`), Buffer.from(await response.text(), 'base64'));
  writeFileSync(
    file(`${serial}.pem`),
    openssl('pkcs7', '-inform', 'DER', '-in', `${serial}.p7`, '-print_certs'),
  );
}

const connect = (serial: string, more: object = {}): Promise<MqttClient> =>
  connectAsync(
    sky.facts.mqtt.url,
    {
      ca: readFileSync(sky.facts.mqtt.ca_file),
      cert: readFileSync(file(`${serial}.pem`)),
      key: readFileSync(file(`${serial}.key.pem`)),
      clientId: serial,
      protocolVersion: 4,
      reconnectPeriod: 0,
      ...more,
    },
    false,
  );

const heartbeat = (serial: string, more: object = {}) =>
  JSON.stringify({
    serial_no: serial,
    model: 'TX-100',
    current_firmware: 'v1.0.0',
    timestamp: Math.floor(Date.now() / 1000),
    ...more,
  });

const proof = (serial: string): Server =>
  new Server(
    checkConfiguration(
      {
        serial_no: serial,
        mqtt_broker: sky.facts.mqtt.url,
        model: 'TX-100',
        cert_file: `${serial}.pem`,
        key_file: `${serial}.key.pem`,
        ca_file: sky.facts.mqtt.ca_file,
      },
      directory,
    ),
  );

describe('a device from outside', () => {
  beforeAll(async () => {
    sky = await startSkylark();
    directory = mkdtempSync(join(tmpdir(), 'skylark-device-'));
    await enrol('DEV-A');
    await enrol('DEV-B');
  });
  afterAll(async () => {
    rmSync(directory, { recursive: true, force: true });
    await sky.stop();
  });

  it('gets a certificate for its serial number and nothing else it asked for', () => {
    const text = openssl(
      'x509',
      '-in',
      'DEV-A.pem',
      '-noout',
      '-subject',
      '-ext',
      'extendedKeyUsage,basicConstraints',
    );
    expect(text).toMatch(/subject=CN ?= ?DEV-A\n/);
    expect(text).toMatch(/TLS Web Client Authentication/);
    expect(text).toMatch(/CA:FALSE/);
    expect(openssl('verify', '-CAfile', sky.facts.mqtt.ca_file, 'DEV-A.pem')).toMatch(/OK/);
  });

  it('enrols once with a token, however many try at the same time', async () => {
    const once = await token('DEV-C');
    const csr = readFileSync(file('DEV-A.csr')).toString('base64');
    expect((await enrolPost('DEV-C', once, csr)).status).toBe(400);
    openssl(
      'req',
      '-new',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:P-256',
      '-nodes',
      '-keyout',
      'c.key',
      '-subj',
      '/CN=x',
      '-outform',
      'DER',
      '-out',
      'c.csr',
    );
    const own = readFileSync(file('c.csr')).toString('base64');
    expect((await enrolPost('DEV-B', once, own)).status).toBe(401);
    const answers = await Promise.all(Array.from({ length: 5 }, () => enrolPost('DEV-C', once, own)));
    expect(answers.map((a) => a.status).sort()).toEqual([200, 401, 401, 401, 401]);
  });

  it('is told what is wrong with its request, and keeps its token', async () => {
    openssl(
      'req',
      '-new',
      '-newkey',
      'rsa:2048',
      '-nodes',
      '-keyout',
      'r.key',
      '-subj',
      '/CN=x',
      '-outform',
      'DER',
      '-out',
      'r.csr',
    );
    const one = await token('DEV-D');
    for (const csr of ['garbage', '', 'AAAA', readFileSync(file('r.csr')).toString('base64')]) {
      const answer = await enrolPost('DEV-D', one, csr);
      expect([answer.status, answer.headers.get('Content-Type')]).toEqual([400, 'application/problem+json']);
    }
    openssl(
      'req',
      '-new',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:P-256',
      '-nodes',
      '-keyout',
      'd.key',
      '-subj',
      '/CN=x',
      '-out',
      'd.csr.pem',
    );
    expect((await enrolPost('DEV-D', one, readFileSync(file('d.csr.pem'), 'utf8'))).status).toBe(200);
  });

  it('is online once it has said so, and offline by its last will', async () => {
    const client = await connect('DEV-A', {
      will: { topic: 'devices/DEV-A/status', payload: Buffer.from('{"status":"offline"}'), qos: 1 },
    });
    await client.publishAsync('devices/DEV-A/heartbeat', heartbeat('DEV-A', { extra: true }), { qos: 1 });
    const status = async (wanted: string) => (await sky.api('GET', '/devices/DEV-A')).body.status === wanted;
    await eventually('DEV-A to be online', () => status('online'));
    client.stream.destroy();
    await eventually('DEV-A to be offline', () => status('offline'));
  });

  it('reaches no topic of another device, in either direction', async () => {
    const [a, b] = [await connect('DEV-A'), await connect('DEV-B')];
    const heard: string[] = [];
    b.on('message', (topic) => heard.push(topic));
    for (const topic of [
      '#',
      'devices/+/command',
      'devices/DEV-A/command',
      'devices/DEV-A/heartbeat',
      '$share/x/devices/+/command',
    ]) {
      await b.subscribeAsync(topic, { qos: 1 }).catch(() => undefined);
    }
    await b.subscribeAsync('devices/DEV-B/command', { qos: 1 });
    await a.publishAsync('devices/DEV-A/heartbeat', heartbeat('DEV-A'), { qos: 1 });
    await sky.api('POST', '/devices/DEV-A/commands', { command: 'reboot' });
    await sky.api('POST', '/devices/DEV-B/commands', { command: 'reboot' });
    await eventually("B's own command", async () => heard.includes('devices/DEV-B/command'));
    expect(heard).toEqual(['devices/DEV-B/command']);
    const kicked = new Promise((resolve) => b.once('close', () => resolve(true)));
    b.publish('devices/DEV-A/heartbeat', heartbeat('DEV-A', { current_firmware: 'v6.6.6' }), { qos: 1 });
    await kicked;
    expect((await sky.api('GET', '/devices/DEV-A')).body.current_firmware).toBe('v1.0.0');
    await a.endAsync();
  });

  it('is kept where an operator sees it when nobody understands it, and blocks nothing', async () => {
    const client = await connect('DEV-A');
    for (const payload of ['not json', '{}', heartbeat('DEV-B'), '\u0000\ud800', 'x'.repeat(100_000)]) {
      await client.publishAsync('devices/DEV-A/heartbeat', payload, { qos: 1 });
    }
    await client.publishAsync(
      'devices/DEV-A/notify',
      JSON.stringify({ setting_changed: 'volume', old_value: '1', new_value: '2', timestamp: 1_700_000_000 }),
      { qos: 1 },
    );
    await eventually('the setting', async () => {
      const { items } = (await sky.api('GET', '/devices/DEV-A/config')).body as {
        items: { key: string; value: string }[];
      };
      return items.some((entry) => entry.key === 'volume' && entry.value === '2');
    });
    const { items } = (await eventually('the rejected messages', async () => {
      const { body } = await sky.api('GET', '/rejected-messages');
      return (body.items as unknown[]).length >= 5 && body;
    })) as { items: { topic: string; reason: string }[] };
    expect(items.map((m) => m.reason)).toEqual(
      expect.arrayContaining([
        expect.stringMatching(/not JSON/),
        expect.stringMatching(/contradicts/),
        expect.stringMatching(/longer/),
      ]),
    );
    await client.endAsync();
  });

  it('asks for its update over HTTPS and downloads it by the link it gets', async () => {
    const firmware = await publishFirmware(sky, 'v1.1.0');
    const { body } = await sky.api('POST', '/campaigns', {
      name: 'pull',
      firmware_id: firmware.id,
      target: { serial_nos: ['DEV-A'] },
    });
    await sky.api('POST', `/campaigns/${body.id}/start`);
    const server = proof('DEV-A');
    const offered = await eventually('the offer', () => server.check(sky.facts.https_url, 'v1.0.0'));
    expect(offered).toMatchObject({ version: 'v1.1.0', campaign_id: body.id, checksum: firmware.checksum });
    const response = await fetch(offered.url, { headers: { Range: 'bytes=0-9' } });
    expect([response.status, (await response.arrayBuffer()).byteLength]).toEqual([206, 10]);
    expect(await server.check(sky.facts.https_url, 'v1.1.0')).toBeUndefined();
    await eventually(
      'the campaign to be over',
      async () => (await sky.api('GET', `/campaigns/${body.id}`)).body.status === 'completed',
    );
    await server.close();
  });

  it('is shut out at every door once it is revoked: broker, downloads, HTTPS', async () => {
    const client = await connect('DEV-B');
    await client.publishAsync('devices/DEV-B/heartbeat', heartbeat('DEV-B'), { qos: 1 });
    await eventually(
      'DEV-B to be online',
      async () => (await sky.api('GET', '/devices/DEV-B')).body.status === 'online',
    );
    const firmware = await publishFirmware(sky, 'v1.1.1');
    const { body } = await sky.api('POST', '/campaigns', {
      name: 'revoked',
      firmware_id: firmware.id,
      target: { serial_nos: ['DEV-B'] },
    });
    await sky.api('POST', `/campaigns/${body.id}/start`);
    const server = proof('DEV-B');
    const offered = await eventually('the offer', () => server.check(sky.facts.https_url, 'v1.0.0'));
    expect((await fetch(offered.url, { method: 'HEAD' })).status).toBe(200);
    const closed = new Promise((resolve) => client.once('close', () => resolve(true)));
    expect((await sky.api('POST', '/devices/DEV-B/revoke')).body).toMatchObject({
      revoked: true,
      status: 'offline',
    });
    await closed;
    const will = { serial_no: 'DEV-B', channel: 'status', payload: { status: 'offline' } } as const;
    expect(await deliver(sky, [will])).toBe(0);
    expect((await sky.api('GET', '/devices/DEV-B')).body.status).toBe('offline');
    await expect(connect('DEV-B')).rejects.toThrow();
    expect((await fetch(offered.url, { method: 'HEAD' })).status).toBe(403);
    await expect(server.check(sky.facts.https_url, 'v1.0.0')).rejects.toThrow(/401/);
    await server.close();
    writeFileSync(file('crl.pem'), await (await fetch(`${sky.facts.url}/ca/crl.pem`)).text());
    expect(openssl('crl', '-in', 'crl.pem', '-CAfile', sky.facts.mqtt.ca_file, '-noout', '-text')).toMatch(
      /Revoked Certificates/,
    );
  });

  it('is refused with a certificate of its maker, too, once it is revoked while it is away', async () => {
    const { cert, key, ca } = await (await openSigner(sky.facts.mqtt.ca_file))('MAKERS-1');
    const come = () =>
      connectAsync(sky.facts.mqtt.url, { clientId: 'MAKERS-1', cert, key, ca, reconnectPeriod: 0 });
    await (await come()).endAsync();
    await deliver(sky, [beat('MAKERS-1')]);
    expect((await sky.api('POST', '/devices/MAKERS-1/revoke')).status).toBe(200);
    await eventually('the broker to know', () =>
      come().then(
        async (client) => {
          await client.endAsync();
          return false;
        },
        (error: unknown) => String(error).includes('Not authorized'),
      ),
    );
  });

  it('stays shut out when it is deleted, also once its serial number is registered again', async () => {
    await enrol('DEV-C');
    await connect('DEV-C').then((client) => client.endAsync());
    expect((await sky.api('DELETE', '/devices/DEV-C')).status).toBe(204);
    await token('DEV-C');
    await expect(connect('DEV-C')).rejects.toThrow();
    const server = proof('DEV-C');
    await expect(server.check(sky.facts.https_url, 'v1.0.0')).rejects.toThrow(/401/);
    await server.close();
    const serial = openssl('x509', '-in', 'DEV-C.pem', '-noout', '-serial').trim().split('=')[1];
    writeFileSync(file('crl.pem'), await (await fetch(`${sky.facts.url}/ca/crl.pem`)).text());
    expect(openssl('crl', '-in', 'crl.pem', '-noout', '-text')).toContain(serial);
  });
});
