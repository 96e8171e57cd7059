/** Errors as RFC 9457 problem details: built in one place, so that every door says them the same way. */
import { HTTPException } from 'hono/http-exception';
import type { ZodError, z } from 'zod';
import type { Problem } from '../protocol/api.ts';

type FieldErrors = NonNullable<Problem['errors']>;

/** Wrong passwords and tokens are counted for so many seconds, and whoever has tried too often waits as long. */
export const ATTEMPTS_WINDOW_S = 900;

/** An `application/problem+json` response. `detail` says what to do about it; input is never echoed. */
export function problem(status: number, title: string, detail?: string, errors?: FieldErrors): Response {
  const body: Problem = {
    type: 'about:blank',
    title,
    status,
    ...(detail === undefined ? {} : { detail }),
    ...(errors === undefined ? {} : { errors }),
  };
  const headers: Record<string, string> = {
    'Content-Type': 'application/problem+json',
    'Cache-Control': 'no-store',
  };
  if (status === 401) headers['WWW-Authenticate'] = 'Bearer realm="skylark"';
  if (status === 429) headers['Retry-After'] = String(ATTEMPTS_WINDOW_S);
  return new Response(JSON.stringify(body), { status, headers });
}

/** Thrown anywhere below a route, it becomes that problem. */
export class ProblemError extends HTTPException {
  constructor(
    status: 400 | 401 | 403 | 404 | 409 | 412 | 413 | 422 | 429 | 503,
    title: string,
    detail?: string,
    errors?: FieldErrors,
  ) {
    super(status, { res: problem(status, title, detail, errors) });
  }
}

/** For where a schema is checked by hand: throws what {@link invalidInput} would answer. */
export function throwInvalid(error: ZodError): never {
  throw new ProblemError(422, 'Invalid input', 'Some fields are missing or wrong.', fieldErrors(error));
}

/** What a schema found wrong, field by field. */
export function invalidInput(error: ZodError): Response {
  return problem(422, 'Invalid input', 'Some fields are missing or wrong.', fieldErrors(error));
}

/** One entry a field, its path in dots. */
export function fieldErrors(error: ZodError): FieldErrors {
  return error.issues
    .flatMap(nearest)
    .map((issue) => ({ field: issue.path.join('.'), message: issue.message }));
}

/** Of alternatives, what is wrong with the one that fits furthest in; of equals, with the last. */
function nearest(issue: z.core.$ZodIssue): z.core.$ZodIssue[] {
  if (issue.code !== 'invalid_union') return [issue];
  const depth = (issues: readonly z.core.$ZodIssue[]) =>
    Math.max(0, ...issues.map(({ path }) => path.length));
  const [best] = issue.errors.toReversed().toSorted((a, b) => depth(b) - depth(a));
  if (best === undefined) return [issue];
  return best.flatMap(nearest).map((inner) => ({ ...inner, path: [...issue.path, ...inner.path] }));
}

/** What a problem says, for a page to show. */
export async function problemOf(error: ProblemError): Promise<Problem> {
  return error.getResponse().clone().json();
}
