/** `/devices/import` and `/devices/tags`: many devices at once. */
import { z } from '@hono/zod-openapi';
import { bodyLimit } from 'hono/body-limit';
import { importReport, tagDevices as tagDevicesBody } from '../../protocol/api.ts';
import { requires } from '../auth/principal.ts';
import type { AppContext } from '../context.ts';
import { importCsv, MAX_IMPORT_BYTES, textOf } from '../operations/device-import.ts';
import { tag } from '../operations/devices.ts';
import { ProblemError, problem } from '../problem.ts';
import { body, json, route, router } from './route.ts';

const tags = ['devices'];
const operate = requires('operate');
const dryRun = z.object({
  dry_run: z.stringbool({ truthy: ['true', '1', ''], falsy: ['false', '0'] }).optional(),
});

const tooLarge = () =>
  problem(413, 'File too large', `At most ${MAX_IMPORT_BYTES / 1024 / 1024} MB at a time: split it.`);

/** The file, as the body itself or in a form. */
async function csvOf(c: AppContext): Promise<string> {
  if (c.req.header('Content-Type')?.startsWith('multipart/form-data') !== true) {
    return textOf(await c.req.arrayBuffer());
  }
  const { file } = await c.req.parseBody();
  if (file instanceof File) return textOf(await file.arrayBuffer());
  throw new ProblemError(422, 'No file', 'Send the CSV file in the field "file".');
}

export const devicesBulk = router()
  .openapi(
    route({
      method: 'post',
      path: '/devices/import',
      tags,
      summary: 'Register or change many devices from a CSV file',
      middleware: [operate, bodyLimit({ maxSize: MAX_IMPORT_BYTES, onError: tooLarge })] as const,
      request: {
        query: dryRun,
        body: {
          required: true,
          description:
            'A header with serial_no, model, and if you like group, tags (separated by ;), metadata.*',
          content: {
            'text/csv': { schema: z.string() },
            'multipart/form-data': { schema: z.object({ file: z.any().optional() }) },
          },
        },
      },
      responses: { 200: json(importReport, 'What was done, and what is wrong with the other lines') },
    }),
    async (c) => {
      const { dry_run = false } = c.req.valid('query');
      return c.json(await importCsv(c, await csvOf(c), dry_run), 200);
    },
  )
  .openapi(
    route({
      method: 'post',
      path: '/devices/tags',
      tags,
      summary: 'Add tags to devices, and take tags off them',
      middleware: [operate] as const,
      request: body(tagDevicesBody),
      responses: { 200: json(z.object({ devices: z.int() }), 'How many devices it was') },
    }),
    async (c) => c.json({ devices: await tag(c, c.req.valid('json')) }, 200),
  );
