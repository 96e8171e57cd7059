/** `/settings/access`: people and API keys; `/account`: one's own password. */
import { Hono } from 'hono';
import { changeUser as changeUserBody, createApiKey, createUser } from '../../protocol/api.ts';
import { findUser, listApiKeys, listUsers } from '../../store/accounts.ts';
import { type AccessData, AccessPage, AccountPage } from '../../views/access.tsx';
import { errorPage, page } from '../../views/layout.tsx';
import type { FieldErrors } from '../../views/parts.tsx';
import { signIn } from '../auth/sign-in.ts';
import type { AppContext, AppEnv } from '../context.ts';
import {
  changeUser,
  makeApiKey,
  makeUser,
  removeUser,
  resetPassword,
  revokeApiKey,
  theUser,
} from '../operations/accounts.ts';
import { fieldErrors, ProblemError, problemOf } from '../problem.ts';
import { fieldsOf } from './query.ts';
import { beginSession, signedIn, viewerOf } from './session.tsx';

const PATH = '/settings/access';
/** More than anybody has: the page shows them all. */
const MOST = 1000;

async function accessPage(c: AppContext, more: Partial<AccessData> = {}, status: 200 | 409 | 422 = 200) {
  const all = { limit: MOST };
  const [users, keys] = await Promise.all([listUsers(c.var.db, all), listApiKeys(c.var.db, all)]);
  const content = <AccessPage users={users.items} keys={keys.items} me={viewerOf(c).email} {...more} />;
  return c.html(page('People and API keys', viewerOf(c), '/settings', content), status);
}

/** Does it; what is refused is said on the page, beside the field where there is one. */
async function orSay(
  c: AppContext,
  work: () => Promise<Response>,
  sent?: { form: 'user' | 'key'; field: string; values: Record<string, string> },
): Promise<Response> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof ProblemError) || error.status === 404) throw error;
    const { title, detail } = await problemOf(error);
    if (sent === undefined) return accessPage(c, { problem: `${title}. ${detail ?? ''}` }, 409);
    const errors = [{ field: sent.field, message: detail ?? title }];
    return accessPage(c, { sent: { ...sent, errors } }, 409);
  }
}

async function accountPage(c: AppContext, errors?: FieldErrors) {
  const { email } = viewerOf(c);
  const saved = errors === undefined && c.req.query('saved') !== undefined;
  const content = <AccountPage email={email} errors={errors} saved={saved} />;
  return c.html(page('Your account', viewerOf(c), '/account', content), errors === undefined ? 200 : 422);
}

export const access = new Hono<AppEnv>()
  .get(PATH, signedIn('administer'), (c) => accessPage(c))
  .post(`${PATH}/users`, signedIn('administer'), async (c) => {
    const values = fieldsOf(await c.req.parseBody());
    const wanted = createUser.safeParse(values);
    if (!wanted.success) {
      return accessPage(c, { sent: { form: 'user', values, errors: fieldErrors(wanted.error) } }, 422);
    }
    const work = async () => {
      const { email, password = '' } = await makeUser(c, wanted.data);
      return accessPage(c, { secret: { of: `The password of ${email}`, value: password } });
    };
    return orSay(c, work, { form: 'user', field: 'email', values });
  })
  .post(`${PATH}/users/:id/role`, signedIn('administer'), async (c) => {
    const user = await theUser(c, c.req.param('id'));
    const wanted = changeUserBody.pick({ role: true }).safeParse(fieldsOf(await c.req.parseBody()));
    if (!wanted.success) return accessPage(c, { problem: 'There is no such role.' }, 422);
    return orSay(c, async () => {
      await changeUser(c, user, wanted.data);
      return c.redirect(PATH, 303);
    });
  })
  .post(`${PATH}/users/:id/password`, signedIn('administer'), async (c) => {
    const user = await theUser(c, c.req.param('id'));
    const value = await resetPassword(c, user);
    return accessPage(c, { secret: { of: `The new password of ${user.email}`, value } });
  })
  .post(`${PATH}/users/:id/delete`, signedIn('administer'), async (c) => {
    const user = await theUser(c, c.req.param('id'));
    return orSay(c, async () => {
      await removeUser(c, user);
      return c.redirect(PATH, 303);
    });
  })
  .post(`${PATH}/keys`, signedIn('administer'), async (c) => {
    const values = fieldsOf(await c.req.parseBody());
    const wanted = createApiKey.safeParse(values);
    if (!wanted.success) {
      return accessPage(c, { sent: { form: 'key', values, errors: fieldErrors(wanted.error) } }, 422);
    }
    const work = async () => {
      const { name, key } = await makeApiKey(c, wanted.data);
      return accessPage(c, { secret: { of: `The API key “${name}”`, value: key } });
    };
    return orSay(c, work, { form: 'key', field: 'name', values });
  })
  .post(`${PATH}/keys/:id/revoke`, signedIn('administer'), async (c) => {
    await revokeApiKey(c, c.req.param('id'));
    return c.redirect(PATH, 303);
  })
  .get('/account', signedIn(), (c) => accountPage(c))
  .post('/account', signedIn(), async (c) => {
    const { current = '', ...said } = fieldsOf(await c.req.parseBody());
    const user = await findUser(c.var.db, viewerOf(c).email);
    if (user === undefined) return c.html(errorPage('Not for API keys', 'A key has no password.'), 403);
    const wanted = changeUserBody.pick({ password: true }).required().safeParse(said);
    if (!wanted.success) return accountPage(c, fieldErrors(wanted.error));
    const { kind } = await signIn(c, user.email, current);
    if (kind !== 'ok') {
      const message =
        kind === 'wrong' ? 'this is not your password' : 'too many attempts: wait a quarter of an hour';
      return accountPage(c, [{ field: 'current', message }]);
    }
    await changeUser(c, await theUser(c, user.id), wanted.data);
    await beginSession(c, user.id);
    return c.redirect('/account?saved', 303);
  });
