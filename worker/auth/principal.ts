/** Who is asking, and whether they may. One place for the API and the pages. */
import { getCookie } from 'hono/cookie';
import { createMiddleware } from 'hono/factory';
import type { Role } from '../../protocol/api.ts';
import { findApiKey, findSession, findUser } from '../../store/accounts.ts';
import { auditEntry } from '../../store/audit-log.ts';
import type { AppContext, AppEnv, Principal } from '../context.ts';
import { problem } from '../problem.ts';
import { passwordMark, readToken } from './tokens.ts';

/** The session cookie. Over TLS the `__Host-` prefix binds it to this very host. */
export const sessionCookie = (url: string): string => (url.startsWith('https:') ? '__Host-sid' : 'sid');

/** What an actor may do. `ci` may upload and publish firmware, and nothing else. */
export type Permission = 'read' | 'operate' | 'administer' | 'firmware.read' | 'firmware.write';

const GRANTS: Record<Role, readonly Permission[]> = {
  viewer: ['read', 'firmware.read'],
  operator: ['read', 'operate', 'firmware.read', 'firmware.write'],
  admin: ['read', 'operate', 'administer', 'firmware.read', 'firmware.write'],
  ci: ['firmware.read', 'firmware.write'],
};

export const may = (role: Role, permission: Permission): boolean => GRANTS[role].includes(permission);

/** Who is asking, by bearer token or session cookie; `undefined` where nobody we know. */
export async function identify(c: AppContext): Promise<Principal | undefined> {
  const bearer = /^Bearer\s+(\S+)$/i.exec(c.req.header('Authorization') ?? '')?.[1];
  if (bearer !== undefined) return bearer.startsWith('sky_') ? byApiKey(c, bearer) : byToken(c, bearer);
  const cookie = getCookie(c, sessionCookie(c.req.url));
  if (cookie === undefined) return undefined;
  const session = await findSession(c.var.db, cookie, new Date());
  return session && { actor: `user:${session.email}`, role: session.role, viaCookie: true };
}

async function byApiKey(c: AppContext, key: string): Promise<Principal | undefined> {
  const found = await findApiKey(c.var.db, key);
  return found && { actor: `key:${found.name}`, role: found.role, viaCookie: false };
}

/** The user is read anew: a token outlives neither them, nor their role, nor their password. */
async function byToken(c: AppContext, token: string): Promise<Principal | undefined> {
  const claims = await readToken(c.env.JWT_SECRET, token);
  const user = claims && (await findUser(c.var.db, claims.sub));
  if (user === undefined || (await passwordMark(user)) !== claims?.pwd) return undefined;
  return { actor: `user:${user.email}`, role: user.role, viaCookie: false };
}

/** Lets only those pass who have the permission; 401 for nobody, 403 and an audit entry for the others. */
export const requires = (permission: Permission) =>
  createMiddleware<AppEnv>(async (c, next) => {
    const principal = await identify(c);
    if (principal === undefined) {
      return problem(401, 'Not signed in', 'Send an API key or a token as "Authorization: Bearer …".');
    }
    c.set('principal', principal);
    if (!may(principal.role, permission)) {
      await auditEntry(c.var.db, {
        actor: principal.actor,
        action: `${c.req.method} ${c.req.path}`.slice(0, 200),
        subject: permission,
        allowed: false,
      });
      return problem(403, 'Not allowed', `The role "${principal.role}" may not do this.`);
    }
    if (principal.viaCookie && !isSameOrigin(c)) {
      return problem(403, 'Cross-site request', 'Requests with a session cookie must come from these pages.');
    }
    return next();
  });

/** Whether a request that changes something comes from our own pages (Fetch Metadata, else Origin). */
export function isSameOrigin(c: AppContext): boolean {
  if (['GET', 'HEAD', 'OPTIONS'].includes(c.req.method)) return true;
  const site = c.req.header('Sec-Fetch-Site');
  if (site !== undefined) return site === 'same-origin' || site === 'none';
  const origin = c.req.header('Origin');
  return origin !== undefined && origin === new URL(c.req.url).origin;
}
