/** Signing in with a password: guarded against guessing by counters that hold when every cache is down. */
import { findUser, type UserRow } from '../../store/accounts.ts';
import { auditEntry } from '../../store/audit-log.ts';
import { hashPassword, verifyPassword } from '../../store/credentials.ts';
import type { AppContext } from '../context.ts';
import { ATTEMPTS_WINDOW_S } from '../problem.ts';

const LIMIT = 10;

export type SignIn = { kind: 'ok'; user: UserRow } | { kind: 'wrong' } | { kind: 'too_many' };

/**
 * Checks a password. An unknown address takes as long as a wrong password, and counts alike; only what is tried on
 * somebody's account is in the audit log.
 */
export async function signIn(c: AppContext, email: string, password: string): Promise<SignIn> {
  const { db } = c.var;
  const attempts = c.env.COORDINATOR.getByName(`attempts:sign-in:${email.trim().toLowerCase()}`);
  if (!(await attempts.attempt(LIMIT, ATTEMPTS_WINDOW_S))) return { kind: 'too_many' };
  const user = await findUser(db, email);
  if (user === undefined) {
    await hashPassword(password);
    return { kind: 'wrong' };
  }
  const entry = { actor: `user:${user.email}`, action: 'user.sign_in', subject: user.email };
  if (!(await verifyPassword(password, user.passwordHash))) {
    // Behind the answer's back: by the time it takes, nobody shall learn that there is such an account.
    c.executionCtx.waitUntil(auditEntry(db, { ...entry, allowed: false }).execute());
    return { kind: 'wrong' };
  }
  await attempts.reset();
  await auditEntry(db, entry);
  return { kind: 'ok', user };
}
