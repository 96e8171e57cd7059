/** `/auth/token`: a password for a token. */
import { z } from '@hono/zod-openapi';
import { role } from '../../protocol/api.ts';
import { text } from '../../protocol/identifiers.ts';
import { signIn } from '../auth/sign-in.ts';
import { issueToken, TOKEN_TTL_S } from '../auth/tokens.ts';
import { ProblemError } from '../problem.ts';
import { body, json, problemAs, route, router } from './route.ts';

const credentials = z.object({ email: text(320).min(1), password: text(1024).min(1) });
const token = z.object({ token: z.string(), expires_in: z.int(), role });

export const auth = router().openapi(
  route({
    method: 'post',
    path: '/auth/token',
    tags: ['auth'],
    summary: 'Sign in',
    security: [],
    request: body(credentials),
    responses: {
      200: json(token, 'A token for the Authorization header'),
      429: problemAs('Too many wrong passwords'),
    },
  }),
  async (c) => {
    const { email, password } = c.req.valid('json');
    const result = await signIn(c, email, password);
    if (result.kind === 'too_many') {
      throw new ProblemError(429, 'Too many attempts', 'Wait a quarter of an hour and try again.');
    }
    if (result.kind === 'wrong') throw new ProblemError(401, 'Wrong email or password');
    const { user } = result;
    return c.json(
      {
        token: await issueToken(c.env.JWT_SECRET, user),
        expires_in: TOKEN_TTL_S,
        role: user.role,
      },
      200,
    );
  },
);
