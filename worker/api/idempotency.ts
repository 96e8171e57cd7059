/** `Idempotency-Key`: a write sent twice does its work once and is answered the same. */
import { createMiddleware } from 'hono/factory';
import { digestSecret } from '../../store/credentials.ts';
import { claimKey, keepAnswer, releaseKey } from '../../store/idempotency.ts';
import { identify } from '../auth/principal.ts';
import type { AppEnv } from '../context.ts';
import { problem } from '../problem.ts';

const WRITES = ['POST', 'PUT', 'DELETE'];
const MAX_KEPT_BYTES = 64 * 1024;

/** For every write with the header, but those of firmware's bytes: uploads are idempotent by their content. */
export const idempotent = createMiddleware<AppEnv>(async (c, next) => {
  const key = c.req.header('Idempotency-Key');
  // Without a body there is no type. A body of no type is no JSON either.
  const isEmpty = c.req.raw.body === null || c.req.header('Content-Length') === '0';
  const type = c.req.header('Content-Type') ?? (isEmpty ? 'application/json' : '');
  if (
    key === undefined ||
    !WRITES.includes(c.req.method) ||
    !/^(application\/(.+\+)?json|text\/csv)/i.test(type)
  ) {
    return next();
  }
  if (!/^[\x21-\x7e]{1,255}$/.test(key)) {
    return problem(400, 'Bad Idempotency-Key', 'It is 1 to 255 visible ASCII characters.');
  }
  const principal = await identify(c);
  if (principal === undefined) return next();
  const digest = await digestSecret(
    `${c.req.method} ${c.req.path}${new URL(c.req.url).search}\n${await c.req.raw.clone().text()}`,
  );
  const claim = await claimKey(c.var.db, principal.actor, key, digest, new Date());
  if (claim.kind === 'other_request') {
    return problem(
      422,
      'Idempotency-Key reused',
      'This key was sent with another request before: use a new one.',
    );
  }
  if (claim.kind === 'in_progress') {
    const waits = problem(
      409,
      'Still being answered',
      'The first request with this key is not finished: try again soon.',
    );
    waits.headers.set('Retry-After', '1');
    return waits;
  }
  if (claim.kind === 'answered') {
    return new Response(claim.body === '' ? null : claim.body, {
      status: claim.status,
      headers: {
        ...(claim.body === '' ? {} : { 'Content-Type': 'application/json' }),
        ...(claim.etag === null ? {} : { ETag: claim.etag }),
        'Idempotency-Replayed': 'true',
      },
    });
  }
  await next();
  const body = await c.res.clone().text();
  // A secret is shown once: nobody keeps it, not even for a repetition.
  const isSecret = c.res.headers.get('Cache-Control') === 'no-store';
  const repeatable = c.res.status < 300 && body.length <= MAX_KEPT_BYTES && !isSecret;
  const { status, headers } = c.res;
  if (repeatable)
    await keepAnswer(c.var.db, principal.actor, key, { status, body, etag: headers.get('ETag') });
  else await releaseKey(c.var.db, principal.actor, key);
});
