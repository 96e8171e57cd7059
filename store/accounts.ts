/** Who may come in: people with a password and a session, programs with an API key. */
import { and, eq, gt, isNull, lt, ne, or, sql } from 'drizzle-orm';
import type { ApiKey, Page, Paging, Role, User } from '../protocol/api.ts';
import type { Database } from './connection.ts';
import { apiKeyId, digestSecret, newSecret, sameSecret } from './credentials.ts';
import { nameAndIdKey, nameKey, pageOf, readCursor } from './page.ts';
import { apiKeys, sessions, users } from './schema.ts';

export type UserRow = typeof users.$inferSelect;

/** How long a session lasts at most, and how long unused. */
export const SESSION_MS = 8 * 3_600_000;
const SESSION_IDLE_MS = 30 * 60_000;

export async function findUser(db: Database, email: string): Promise<UserRow | undefined> {
  const [row] = await db.select().from(users).where(eq(users.email, email.trim().toLowerCase())).limit(1);
  return row;
}

/** Opens a session; the answer is the cookie's value, of which only a digest is kept. */
export async function openSession(db: Database, userId: string, now: Date): Promise<string> {
  const token = newSecret();
  await db.batch([
    db.insert(sessions).values({
      tokenHash: await digestSecret(token),
      userId,
      createdAt: now,
      lastUsedAt: now,
      expiresAt: new Date(now.getTime() + SESSION_MS),
    }),
    db.delete(sessions).where(lt(sessions.expiresAt, now)),
  ]);
  return token;
}

/** Whose session this is, if it is one that still counts. Its idle time starts anew, noted once a minute. */
export async function findSession(
  db: Database,
  token: string,
  now: Date,
): Promise<{ email: string; role: Role } | undefined> {
  const tokenHash = await digestSecret(token);
  const [found] = await db
    .select({ email: users.email, role: users.role, lastUsedAt: sessions.lastUsedAt })
    .from(sessions)
    .innerJoin(users, eq(users.id, sessions.userId))
    .where(
      and(
        eq(sessions.tokenHash, tokenHash),
        gt(sessions.expiresAt, now),
        gt(sessions.lastUsedAt, new Date(now.getTime() - SESSION_IDLE_MS)),
      ),
    )
    .limit(1);
  if (found === undefined) return undefined;
  if (now.getTime() - found.lastUsedAt.getTime() > 60_000) {
    await db.update(sessions).set({ lastUsedAt: now }).where(eq(sessions.tokenHash, tokenHash));
  }
  return { email: found.email, role: found.role };
}

export async function closeSession(db: Database, token: string): Promise<void> {
  await db.delete(sessions).where(eq(sessions.tokenHash, await digestSecret(token)));
}

/** What an API key may do, if it is one that still counts. */
export async function findApiKey(
  db: Database,
  key: string,
): Promise<{ id: string; name: string; role: Role } | undefined> {
  const id = apiKeyId(key);
  if (id === undefined) return undefined;
  const [row] = await db
    .select()
    .from(apiKeys)
    .where(and(eq(apiKeys.id, id), isNull(apiKeys.revokedAt)))
    .limit(1);
  if (row === undefined || !(await sameSecret(await digestSecret(key), row.secretHash))) return undefined;
  return { id: row.id, name: row.name, role: row.role };
}

/** Adds a user or, where the address is known, gives them this password hash and role. */
export async function putUser(
  db: Database,
  user: { email: string; passwordHash: string; role: Role },
): Promise<void> {
  await db
    .insert(users)
    .values({ ...user, email: user.email.trim().toLowerCase() })
    .onConflictDoUpdate({
      target: users.email,
      set: { passwordHash: sql`excluded.password_hash`, role: sql`excluded.role` },
    });
}

const userOf = ({ id, email, role, createdAt }: UserRow): User => ({
  id,
  email,
  role,
  created_at: createdAt.toISOString(),
});

/** A page of users, by address. */
export async function listUsers(db: Database, { limit, cursor }: Paging): Promise<Page<User>> {
  const [after] = readCursor(cursor, nameKey) ?? [];
  const rows = await db
    .select()
    .from(users)
    .where(after === undefined ? undefined : gt(users.email, after))
    .orderBy(users.email)
    .limit(limit + 1);
  return pageOf(rows, limit, (row) => [row.email], userOf);
}

export async function findUserById(db: Database, id: string): Promise<User | undefined> {
  const [row] = await db.select().from(users).where(eq(users.id, id));
  return row && userOf(row);
}

/** Adds a user; `undefined` where the address is taken. */
export async function addUser(
  db: Database,
  { email, ...user }: { email: string; passwordHash: string; role: Role },
): Promise<User | undefined> {
  const values = { ...user, email: email.trim().toLowerCase() };
  const [row] = await db.insert(users).values(values).onConflictDoNothing().returning();
  return row && userOf(row);
}

/** Not the last administrator: nobody could let anybody in any more. */
const isSpare = (db: Database, id: string) =>
  or(
    ne(users.role, 'admin'),
    sql`EXISTS ${db
      .select({ one: sql`1` })
      .from(sql`${users} AS others`)
      .where(sql`others.role = 'admin' AND others.id <> ${id}`)}`,
  );

/** Gives a user another role or password, which ends their sessions; `undefined` where that leaves no administrator. */
export async function changeUser(
  db: Database,
  id: string,
  change: { role?: Role | undefined; passwordHash?: string | undefined },
): Promise<User | undefined> {
  const mayChange = change.role === undefined || change.role === 'admin' ? undefined : isSpare(db, id);
  const [row] = await db
    .update(users)
    .set(change)
    .where(and(eq(users.id, id), mayChange))
    .returning();
  if (row !== undefined && change.passwordHash !== undefined) {
    await db.delete(sessions).where(eq(sessions.userId, id));
  }
  return row && userOf(row);
}

/** Removes a user with their sessions; false where that leaves no administrator. */
export async function removeUser(db: Database, id: string): Promise<boolean> {
  const gone = await db
    .delete(users)
    .where(and(eq(users.id, id), isSpare(db, id)))
    .returning({ id: users.id });
  return gone.length > 0;
}

const keyOf = ({ id, name, role, createdAt, revokedAt }: typeof apiKeys.$inferSelect): ApiKey => ({
  id,
  name,
  role,
  created_at: createdAt.toISOString(),
  revoked_at: revokedAt?.toISOString() ?? null,
});

/** A page of API keys, the revoked ones too, by name. */
export async function listApiKeys(db: Database, { limit, cursor }: Paging): Promise<Page<ApiKey>> {
  const after = readCursor(cursor, nameAndIdKey);
  const rows = await db
    .select()
    .from(apiKeys)
    .where(after && sql`(${apiKeys.name}, ${apiKeys.id}) > (${after[0]}, ${after[1]})`)
    .orderBy(apiKeys.name, apiKeys.id)
    .limit(limit + 1);
  return pageOf(rows, limit, (row) => [row.name, row.id], keyOf);
}

/** Whether a key that counts has this name. */
export async function isKeyName(db: Database, name: string): Promise<boolean> {
  const rows = await db
    .select({ id: apiKeys.id })
    .from(apiKeys)
    .where(and(eq(apiKeys.name, name), isNull(apiKeys.revokedAt)))
    .limit(1);
  return rows.length > 0;
}

/** Revokes a key; `undefined` where there is none with this id. Again, it changes nothing. */
export async function revokeApiKey(db: Database, id: string): Promise<ApiKey | undefined> {
  const [row] = await db
    .update(apiKeys)
    .set({ revokedAt: sql`coalesce(${apiKeys.revokedAt}, now())` })
    .where(eq(apiKeys.id, id))
    .returning();
  return row && keyOf(row);
}

/** Adds an API key made by `newApiKey`. */
export async function addApiKey(
  db: Database,
  key: { id: string; name: string; role: Role; secretHash: string },
): Promise<void> {
  await db.insert(apiKeys).values(key).onConflictDoNothing();
}
