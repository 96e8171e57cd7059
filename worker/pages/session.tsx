/** Pages for people: who is signed in, and the way to the sign-in page. */

import { Hono } from 'hono';
import { deleteCookie, getCookie, setCookie } from 'hono/cookie';
import { createMiddleware } from 'hono/factory';
import { closeSession, openSession, SESSION_MS } from '../../store/accounts.ts';
import { errorPage, signInPage } from '../../views/layout.tsx';
import { identify, isSameOrigin, may, type Permission, sessionCookie } from '../auth/principal.ts';
import { signIn } from '../auth/sign-in.ts';
import type { AppContext, AppEnv } from '../context.ts';
import { ATTEMPTS_WINDOW_S } from '../problem.ts';

/** Only paths of our own: an address from outside must not lead anywhere else. */
const safePath = (path: string | undefined): string =>
  path !== undefined && /^\/(?![/\\])[^\s\\]*$/.test(path) ? path : '/';

/** Lets only people pass who are signed in and may do this. */
export const signedIn = (permission: Permission = 'firmware.read') =>
  createMiddleware<AppEnv>(async (c, next) => {
    const principal = await identify(c);
    if (principal === undefined) {
      // A part of a page that asks for itself leads its page there: the sign-in is no part of it.
      const part = c.req.header('HX-Request-Type') === 'partial';
      const shown = c.req.header('HX-Current-URL') ?? '';
      const { pathname, search } = new URL(part && URL.canParse(shown) ? shown : c.req.url);
      const here = part || c.req.method === 'GET' ? pathname + search : '/';
      const signIn = `/sign-in?next=${encodeURIComponent(here)}`;
      if (part) return c.body(null, 401, { 'HX-Redirect': signIn });
      return c.redirect(signIn, 303);
    }
    c.set('principal', principal);
    if (!may(principal.role, permission)) {
      return c.html(errorPage('Not allowed', `The role "${principal.role}" may not do this.`), 403);
    }
    if (!isSameOrigin(c))
      return c.html(errorPage('Not from here', 'This form must be sent from these pages.'), 403);
    return next();
  });

/** What a page needs to know of who looks at it. */
export const viewerOf = (c: AppContext) => ({
  email: c.var.principal.actor.replace(/^(user|key):/, ''),
  role: c.var.principal.role,
});

/** Signs this browser in. */
export async function beginSession(c: AppContext, userId: string): Promise<void> {
  const token = await openSession(c.var.db, userId, new Date());
  setCookie(c, sessionCookie(c.req.url), token, {
    path: '/',
    httpOnly: true,
    sameSite: 'Lax',
    secure: c.req.url.startsWith('https:'),
    maxAge: SESSION_MS / 1000,
  });
}

export const session = new Hono<AppEnv>()
  .get('/sign-in', (c) => c.html(signInPage(undefined, '', safePath(c.req.query('next')))))
  .post('/sign-in', async (c) => {
    if (!isSameOrigin(c)) return c.html(errorPage('Not from here', 'Sign in on these pages.'), 403);
    const form = await c.req.parseBody();
    const [email, password] = [String(form.email ?? ''), String(form.password ?? '')];
    const next = safePath(String(form.next ?? '/'));
    const result = await signIn(c, email, password);
    if (result.kind === 'too_many') {
      return c.html(
        signInPage('Too many attempts. Wait a quarter of an hour and try again.', email, next),
        429,
        { 'Retry-After': String(ATTEMPTS_WINDOW_S) },
      );
    }
    if (result.kind === 'wrong') return c.html(signInPage('Wrong email or password.', email, next), 401);
    await beginSession(c, result.user.id);
    return c.redirect(next, 303);
  })
  .post('/sign-out', async (c) => {
    if (!isSameOrigin(c)) return c.html(errorPage('Not from here', 'Sign out on these pages.'), 403);
    const name = sessionCookie(c.req.url);
    const token = getCookie(c, name);
    if (token !== undefined) await closeSession(c.var.db, token);
    deleteCookie(c, name, { path: '/', secure: c.req.url.startsWith('https:') });
    return c.redirect('/sign-in', 303);
  });
