/** The API's JWTs (HS256): short-lived, for programs that sign in with a password. */
import { jwtVerify, SignJWT } from 'jose';
import { z } from 'zod';
import { role } from '../../protocol/api.ts';
import type { UserRow } from '../../store/accounts.ts';
import { digestSecret } from '../../store/credentials.ts';

/** How long a token lasts, in seconds. */
export const TOKEN_TTL_S = 3600;
const ISSUER = 'skylark';

/** `pwd` ties a token to the password it was given for ({@link passwordMark}). */
const claims = z.object({ sub: z.string(), role, pwd: z.string() });

const keyOf = (secret: string) => new TextEncoder().encode(secret);

export async function issueToken(secret: string, user: UserRow): Promise<string> {
  return new SignJWT({ role: user.role, pwd: await passwordMark(user) })
    .setProtectedHeader({ alg: 'HS256' })
    .setSubject(user.email)
    .setIssuer(ISSUER)
    .setAudience(ISSUER)
    .setIssuedAt()
    .setExpirationTime(`${TOKEN_TTL_S} s`)
    .sign(keyOf(secret));
}

/** Who a token speaks for, or `undefined` where it is forged, expired or not ours. */
export async function readToken(secret: string, token: string): Promise<z.infer<typeof claims> | undefined> {
  try {
    const { payload } = await jwtVerify(token, keyOf(secret), {
      algorithms: ['HS256'],
      issuer: ISSUER,
      audience: ISSUER,
    });
    return claims.safeParse(payload).data;
  } catch {
    return undefined;
  }
}

/** Another one for every password ever set: what is kept of a password has a random salt. */
export const passwordMark = async ({ passwordHash }: Pick<UserRow, 'passwordHash'>): Promise<string> =>
  (await digestSecret(passwordHash)).slice(0, 16);
