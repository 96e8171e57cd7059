/** Device certificates, and the one-time tokens that get a device its first. */
import { and, desc, eq, gt, isNotNull, isNull, ne, sql } from 'drizzle-orm';
import type { Database } from './connection.ts';
import { certificates, devices, enrolmentTokens } from './schema.ts';

export interface IssuedCertificate {
  serialHex: string;
  deviceId: string;
  keyDigest: string;
  pem: string;
  notAfter: Date;
}

export async function addEnrolmentToken(
  db: Database,
  token: { tokenHash: string; deviceId: string; createdBy: string; expiresAt: Date },
): Promise<void> {
  await db.insert(enrolmentTokens).values(token);
}

/**
 * Uses a token up and stores the certificate it was good for, both or neither. Of any number of tries at the same
 * time exactly one gets true.
 */
export async function redeemEnrolmentToken(
  db: Database,
  tokenHash: string,
  certificate: IssuedCertificate,
  now: Date,
): Promise<boolean> {
  const { rows } = await db.execute(sql`
    WITH used AS (
      UPDATE enrolment_tokens SET used_at = ${now.toISOString()}
      WHERE token_hash = ${tokenHash} AND device_id = ${certificate.deviceId}
        AND used_at IS NULL AND expires_at > ${now.toISOString()}
      RETURNING device_id)
    INSERT INTO certificates (serial_hex, device_id, key_digest, pem, not_after)
    SELECT ${certificate.serialHex}, device_id, ${certificate.keyDigest}, ${certificate.pem},
           ${certificate.notAfter.toISOString()}::timestamptz
    FROM used RETURNING serial_hex`);
  return rows.length === 1;
}

export async function addCertificate(db: Database, certificate: IssuedCertificate): Promise<void> {
  await db.insert(certificates).values(certificate);
}

/** Whether another device has a certificate for this key. */
export async function isKeyOfAnother(db: Database, keyDigest: string, deviceId: string): Promise<boolean> {
  const rows = await db
    .select({ serialHex: certificates.serialHex })
    .from(certificates)
    .where(and(eq(certificates.keyDigest, keyDigest), ne(certificates.deviceId, deviceId)))
    .limit(1);
  return rows.length > 0;
}

/** A certificate that still counts, with its device: neither is revoked, nor is it past its end. */
export async function findGoodCertificate(db: Database, serialHex: string, now: Date) {
  const [found] = await db
    .select({ pem: certificates.pem, deviceId: devices.id, serialNo: devices.serialNo })
    .from(certificates)
    .innerJoin(devices, eq(devices.id, certificates.deviceId))
    .where(
      and(
        eq(certificates.serialHex, serialHex),
        isNull(certificates.revokedAt),
        isNull(devices.revokedAt),
        gt(certificates.notAfter, now),
      ),
    )
    .limit(1);
  return found;
}

/** Revokes every certificate of a device. */
export async function revokeCertificates(db: Database, deviceId: string): Promise<void> {
  await db
    .update(certificates)
    .set({ revokedAt: new Date() })
    .where(and(eq(certificates.deviceId, deviceId), isNull(certificates.revokedAt)));
}

/** What the revocation list must name: revoked and not yet past its end, also those of devices that are deleted. */
export async function listRevoked(
  db: Database,
  now: Date,
): Promise<{ serialHex: string; revokedAt: Date }[]> {
  const rows = await db
    .select({ serialHex: certificates.serialHex, revokedAt: certificates.revokedAt })
    .from(certificates)
    .where(and(isNotNull(certificates.revokedAt), gt(certificates.notAfter, now)))
    .orderBy(desc(certificates.revokedAt));
  return rows.flatMap(({ serialHex, revokedAt }) => (revokedAt === null ? [] : [{ serialHex, revokedAt }]));
}
