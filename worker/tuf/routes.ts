/** `/tuf/`: the update metadata, for any TUF client. No credential needed: everything in it is signed. */
import { z } from '@hono/zod-openapi';
import { Hono } from 'hono';
import type { Refused } from '../../durable-objects/releases/releases.ts';
import { MAX_ENVELOPE_BYTES, openEnvelope, root, targets } from '../../protocol/tuf.ts';
import { auditEntry } from '../../store/audit-log.ts';
import { route, router } from '../api/route.ts';
import { requires } from '../auth/principal.ts';
import type { AppContext, AppEnv } from '../context.ts';
import { problem } from '../problem.ts';

const NAME = /^(?:timestamp|[1-9]\d{0,9}\.[A-Za-z0-9][A-Za-z0-9._-]{0,63})\.json$/;
const OFFLINE = /^([1-9]\d{0,9})\.((?!snapshot\.json|timestamp\.json)[A-Za-z0-9][A-Za-z0-9._-]{0,63})\.json$/;

export const tuf = new Hono<AppEnv>().get('/tuf/:name', async (c) => {
  const name = c.req.param('name');
  const file = NAME.test(name) ? await c.env.FIRMWARE.get(`tuf/${name}`) : null;
  if (file === null) return problem(404, 'No such metadata');
  const cache = name === 'timestamp.json' ? 'no-store' : 'public, max-age=31536000, immutable';
  return c.body(file.body, 200, { 'Content-Type': 'application/json', 'Cache-Control': cache });
});

/**
 * The offline-signed files, put by an administrator: `PUT /tuf/{n}.root.json`, `PUT /tuf/{n}.targets.json`, and a
 * delegated role's metadata that was signed anew, `PUT /tuf/{n}.{role}.json`.
 */
export const tufAdministration = router();
tufAdministration.openAPIRegistry.registerPath(
  route({
    method: 'put',
    path: '/tuf/{name}',
    tags: ['firmware'],
    summary: 'Put update metadata that was signed offline: {version}.root.json, {version}.{role}.json',
    request: {
      params: z.object({ name: z.string() }),
      body: { content: { 'application/json': { schema: z.record(z.string(), z.unknown()) } } },
    },
    responses: { 204: { description: 'It is out' } },
  }),
);
tufAdministration.put('/tuf/:name', requires('administer'), async (c) => {
  const [, version, role] = OFFLINE.exec(c.req.param('name')) ?? [];
  if (role === undefined)
    return problem(
      404,
      'No such metadata',
      'Names are {version}.{role}.json; snapshot and timestamp are signed here.',
    );
  const file = new Uint8Array(await c.req.arrayBuffer());
  if (file.byteLength > MAX_ENVELOPE_BYTES)
    return problem(413, 'Metadata too large', `At most ${MAX_ENVELOPE_BYTES} bytes.`);
  const refused = await put(c, role, Number(version), file);
  if (refused !== null)
    return problem(
      ['stale', 'would_break'].includes(refused.refused) ? 409 : 422,
      'Metadata refused',
      refused.detail,
    );
  await auditEntry(c.var.db, {
    actor: c.var.principal.actor,
    action: `tuf.${role}`,
    subject: c.req.param('name'),
  });
  return c.body(null, 204);
});

async function put(c: AppContext, role: string, version: number, file: Uint8Array): Promise<Refused | null> {
  try {
    const { signed } = role === 'root' ? openEnvelope(file, root) : openEnvelope(file, targets);
    if (signed.version !== version)
      return {
        refused: 'bad_signature',
        detail: `it is version ${signed.version}, and its name says ${version}`,
      };
  } catch (error) {
    return { refused: 'bad_signature', detail: `not TUF metadata: ${String(error).slice(0, 300)}` };
  }
  const releases = c.env.RELEASES.getByName('main');
  if (role === 'root') return releases.putRoot(file);
  return role === 'targets' ? releases.putTargets(file) : releases.putRole(role, file);
}
