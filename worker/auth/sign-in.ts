/** Signing in with a password: guarded against guessing by counters that hold when every cache is down. */
import type { Env } from '../../durable-objects/env.ts';
import { findUser, type UserRow } from '../../store/accounts.ts';
import type { Database } from '../../store/connection.ts';
import { hashPassword, verifyPassword } from '../../store/credentials.ts';
import { ATTEMPTS_WINDOW_S } from '../problem.ts';

const LIMIT = 10;

export type SignIn = { kind: 'ok'; user: UserRow } | { kind: 'wrong' } | { kind: 'too_many' };

/** Checks a password. An unknown address takes as long as a wrong password, and counts alike. */
export async function signIn(env: Env, db: Database, email: string, password: string): Promise<SignIn> {
  const attempts = env.COORDINATOR.getByName(`attempts:sign-in:${email.trim().toLowerCase()}`);
  if (!(await attempts.attempt(LIMIT, ATTEMPTS_WINDOW_S))) return { kind: 'too_many' };
  const user = await findUser(db, email);
  if (user === undefined) {
    await hashPassword(password);
    return { kind: 'wrong' };
  }
  if (!(await verifyPassword(password, user.passwordHash))) return { kind: 'wrong' };
  await attempts.reset();
  return { kind: 'ok', user };
}
