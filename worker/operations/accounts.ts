/** Who may come in: what an administrator can do about it, for the API and the pages alike. */
import type { z } from 'zod';
import type {
  ApiKey,
  changeUser as changeUserBody,
  createApiKey,
  createUser,
  User,
} from '../../protocol/api.ts';
import * as accounts from '../../store/accounts.ts';
import { auditEntry } from '../../store/audit-log.ts';
import { hashPassword, newApiKey, newSecret } from '../../store/credentials.ts';
import { UUID } from '../../store/devices.ts';
import type { AppContext } from '../context.ts';
import { ProblemError } from '../problem.ts';

const PASSWORD_CHARACTERS = 20;

const note = (c: AppContext, action: string, subject: string, detail: Record<string, unknown> = {}) =>
  auditEntry(c.var.db, { actor: c.var.principal.actor, action, subject, detail });

/** Throws a 404. */
export async function theUser(c: AppContext, id: string): Promise<User> {
  const found = UUID.test(id) ? await accounts.findUserById(c.var.db, id) : undefined;
  if (found === undefined) throw new ProblemError(404, 'No such user', 'Nobody has this id.');
  return found;
}

/** Lets somebody in; the password is in the answer where it was made up here. Throws a 409 where they are in already. */
export async function makeUser(
  c: AppContext,
  { email, role, password }: z.infer<typeof createUser>,
): Promise<User & { password?: string }> {
  const secret = password ?? newSecret().slice(0, PASSWORD_CHARACTERS);
  const made = await accounts.addUser(c.var.db, { email, role, passwordHash: await hashPassword(secret) });
  if (made === undefined)
    throw new ProblemError(409, 'Address taken', 'Somebody signs in with this address already.');
  await note(c, 'user.create', made.email, { role });
  return password === undefined ? { ...made, password: secret } : made;
}

/** Gives somebody another role, or a password. Throws a 409 where no administrator would be left. */
export async function changeUser(
  c: AppContext,
  { id, email }: User,
  { role, password }: z.infer<typeof changeUserBody>,
): Promise<User> {
  const change = {
    ...(role === undefined ? {} : { role }),
    ...(password === undefined ? {} : { passwordHash: await hashPassword(password) }),
  };
  if (Object.keys(change).length === 0) return theUser(c, id);
  const changed = await accounts.changeUser(c.var.db, id, change);
  if (changed === undefined) throw lastAdministrator();
  await note(c, 'user.change', email, { role, password: password === undefined ? 'as it was' : 'changed' });
  return changed;
}

/** Gives somebody a new password, made up here. */
export async function resetPassword(c: AppContext, user: User): Promise<string> {
  const password = newSecret().slice(0, PASSWORD_CHARACTERS);
  await changeUser(c, user, { password });
  return password;
}

/** Throws a 409 where no administrator would be left. */
export async function removeUser(c: AppContext, { id, email }: User): Promise<void> {
  if (!(await accounts.removeUser(c.var.db, id))) throw lastAdministrator();
  await note(c, 'user.delete', email);
}

const lastAdministrator = () =>
  new ProblemError(409, 'The last administrator', 'Make somebody else an administrator first.');

/** Makes an API key: `key` is shown this once. Throws a 409 where a key that counts has this name. */
export async function makeApiKey(
  c: AppContext,
  { name, role }: z.infer<typeof createApiKey>,
): Promise<ApiKey & { key: string }> {
  if (await accounts.isKeyName(c.var.db, name)) {
    throw new ProblemError(
      409,
      'Name taken',
      'There is a key of this name already: what it does goes by its name.',
    );
  }
  const { key, id, secretHash } = await newApiKey();
  await accounts.addApiKey(c.var.db, { id, name, role, secretHash });
  await note(c, 'api_key.create', name, { id, role });
  return { id, name, role, created_at: new Date().toISOString(), revoked_at: null, key };
}

/** From its answer on the key opens nothing. Throws a 404. */
export async function revokeApiKey(c: AppContext, id: string): Promise<ApiKey> {
  const revoked = await accounts.revokeApiKey(c.var.db, id);
  if (revoked === undefined) throw new ProblemError(404, 'No such API key', 'No key has this id.');
  await note(c, 'api_key.revoke', revoked.name, { id });
  return revoked;
}
