/** Enrolment over Secure Transport (RFC 7030): how a device gets its certificate with `curl` and `openssl`. */
import { type Context, Hono } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import { z } from 'zod';
import { serialNo } from '../../protocol/identifiers.ts';
import {
  addCertificate,
  type IssuedCertificate,
  isKeyOfAnother,
  listRevoked,
  redeemEnrolmentToken,
} from '../../store/certificates.ts';
import { digestSecret } from '../../store/credentials.ts';
import { insertEvents } from '../../store/device-events.ts';
import { findDeviceBySerial } from '../../store/devices.ts';
import { type DeviceEnv, requireDevice } from '../auth/device.ts';
import { ATTEMPTS_WINDOW_S, problem } from '../problem.ts';
import { BadRequest, caCertificates, issue, readRequest, revocationList } from './authority.ts';

const MAX_REQUEST_BYTES = 16 * 1024;
/** Wrong tokens for one serial number before enrolment is closed for a quarter of an hour. */
const TRIES = 10;

/** Anybody may send here, so nothing larger is read at all. */
const small = bodyLimit({
  maxSize: MAX_REQUEST_BYTES,
  onError: () => problem(413, 'Request too large', `At most ${MAX_REQUEST_BYTES} bytes.`),
});

const basic = z.templateLiteral([z.string().min(1), ':', z.string().min(1)]);

export const est = new Hono<DeviceEnv>()
  .get('/.well-known/est/cacerts', (c) => pkcs7(c, caCertificates(c.env)))
  .get('/.well-known/est/csrattrs', (c) => c.body(null, 204))
  .post('/.well-known/est/simpleenroll', small, async (c) => {
    const login = readBasic(c.req.header('Authorization'));
    const body = await c.req.text();
    if (login === undefined)
      return unauthorized('Send HTTP Basic with the serial number and its enrolment token.');
    const attempts = c.env.COORDINATOR.getByName(`attempts:enrol:${login.serial_no}`);
    if (!(await attempts.attempt(TRIES, ATTEMPTS_WINDOW_S))) {
      return problem(429, 'Too many attempts', 'Wait a quarter of an hour and try again.');
    }
    const device = await findDeviceBySerial(c.var.db, login.serial_no);
    if (device === undefined || device.revokedAt !== null) return wrongToken();
    return grant(c, { id: device.id, serial_no: device.serialNo }, body, async (certificate) => {
      const hash = await digestSecret(login.token);
      const redeemed = await redeemEnrolmentToken(c.var.db, hash, certificate, new Date());
      if (redeemed) await attempts.reset();
      return redeemed;
    });
  })
  .post('/.well-known/est/simplereenroll', small, requireDevice, async (c) => {
    const { device_id: id, serial_no } = c.var.device;
    return grant(c, { id, serial_no }, await c.req.text(), async (certificate) => {
      await addCertificate(c.var.db, certificate);
      return true;
    });
  })
  .get('/ca/crl.pem', async (c) => {
    const crl = await revocationList(c.env, await listRevoked(c.var.db, new Date()));
    return c.body(crl, 200, { 'Content-Type': 'application/x-pem-file', 'Cache-Control': 'no-store' });
  });

async function grant(
  c: Context<DeviceEnv>,
  device: { id: string; serial_no: string },
  body: string,
  store: (certificate: IssuedCertificate) => Promise<boolean>,
): Promise<Response> {
  try {
    const { publicKey, keyDigest } = await readRequest(body);
    if (await isKeyOfAnother(c.var.db, keyDigest, device.id)) {
      throw new BadRequest('Another device has a certificate for this key: every device needs its own.');
    }
    const { pkcs7: answer, ...issued } = await issue(c.env, device.serial_no, publicKey);
    // Handed out only once it is known: what nobody knows, nobody can revoke.
    if (!(await store({ ...issued, deviceId: device.id, keyDigest }))) return wrongToken();
    await insertEvents(c.var.db, [
      {
        id: `certificate-${issued.serialHex}`,
        device_id: device.id,
        at: new Date(),
        kind: 'certificate',
        detail: { serial: issued.serialHex, not_after: issued.notAfter.toISOString() },
      },
    ]);
    return pkcs7(c, answer);
  } catch (error) {
    if (error instanceof BadRequest) return problem(400, 'Certificate request refused', error.message);
    throw error;
  }
}

function pkcs7(c: Context<DeviceEnv>, body: string): Response {
  return c.body(body, 200, {
    'Content-Type': 'application/pkcs7-mime; smime-type=certs-only',
    'Content-Transfer-Encoding': 'base64',
    'Cache-Control': 'no-store',
  });
}

function readBasic(header: string | undefined): { serial_no: string; token: string } | undefined {
  const encoded = /^Basic\s+(\S+)$/i.exec(header ?? '')?.[1];
  if (encoded === undefined) return undefined;
  const pair = basic.safeParse(Buffer.from(encoded, 'base64').toString());
  if (!pair.success) return undefined;
  const colon = pair.data.indexOf(':');
  const serial = serialNo.safeParse(pair.data.slice(0, colon));
  return serial.success ? { serial_no: serial.data, token: pair.data.slice(colon + 1) } : undefined;
}

const wrongToken = () => unauthorized('The token is unknown, used, expired, or for another serial number.');

function unauthorized(detail: string): Response {
  const response = problem(401, 'Not enrolled', detail);
  response.headers.set('WWW-Authenticate', 'Basic realm="est", charset="UTF-8"');
  return response;
}
