/** `/devices`: the list, one device, and what can be done to it. */
import { Hono } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import { z } from 'zod';
import {
  changeDevice as changeDeviceBody,
  deviceStatus,
  type ImportReport,
  paging,
} from '../../protocol/api.ts';
import { configUpdate } from '../../protocol/messages.ts';
import { listConfig } from '../../store/device-configs.ts';
import { listEvents } from '../../store/device-events.ts';
import { type DeviceRow, listDevices } from '../../store/devices.ts';
import { listDeviceUpdates } from '../../store/updates.ts';
import { type DeviceData, DeviceLive, DevicePage } from '../../views/device.tsx';
import { ImportPage } from '../../views/device-import.tsx';
import { DeviceRows, Devices } from '../../views/devices.tsx';
import { errorPage, page } from '../../views/layout.tsx';
import { theDevice } from '../api/lookup.ts';
import { webSocketOnly } from '../api/route.ts';
import { deviceStats } from '../api/stats.ts';
import { may } from '../auth/principal.ts';
import type { AppContext, AppEnv } from '../context.ts';
import { importCsv, MAX_IMPORT_BYTES, textOf } from '../operations/device-import.ts';
import {
  approve,
  configureDevice,
  decommission,
  deviceNow,
  rebootDevice,
  relabel,
  revoke,
  shardFor,
  withPresence,
} from '../operations/devices.ts';
import { fieldErrors, ProblemError, problemOf } from '../problem.ts';
import { fieldsOf, listOf, queryOf } from './query.ts';
import { signedIn, viewerOf } from './session.tsx';

const text = z.string().max(64).optional();
const filter = paging.extend({
  model: text,
  status: deviceStatus.optional(),
  firmware: text,
  group: text,
  tag: text,
  q: text,
  state: z.enum(['waiting', 'decommissioned']).optional(),
});

/** The form, with what came of the file before. */
function importPage(
  c: AppContext,
  { report, dryRun = false, problem }: { report?: ImportReport; dryRun?: boolean; problem?: string },
) {
  const content = <ImportPage report={report} dryRun={dryRun} problem={problem} />;
  return c.html(page('Import devices', viewerOf(c), '/devices', content), problem === undefined ? 200 : 422);
}

async function devicePage(c: AppContext, row: DeviceRow, sent?: DeviceData['sent']) {
  const now = new Date();
  const few = { limit: 50 };
  const [device, updates, events, config] = await Promise.all([
    deviceNow(c, row.serialNo),
    listDeviceUpdates(c.var.db, row.id, few),
    listEvents(c.var.db, row.id, few),
    listConfig(c.var.db, c.var.cache, row.id, now),
  ]);
  const live = { device, updates: updates.items, events: events.items, config, now };
  const Vary = { Vary: 'HX-Request-Type' };
  if (c.req.header('HX-Request-Type') === 'partial') return c.html(<DeviceLive {...live} />, 200, Vary);
  const mayOperate = may(c.var.principal.role, 'operate');
  const content = <DevicePage {...live} mayOperate={mayOperate} sent={sent} />;
  const status = sent === undefined ? 200 : 422;
  return c.html(page(device.serial_no, viewerOf(c), '/devices', content), status, Vary);
}

export const devices = new Hono<AppEnv>()
  .get('/devices', signedIn('read'), async (c) => {
    const query = queryOf(c);
    const parsed = filter.safeParse(query);
    if (!parsed.success)
      return c.html(errorPage('No such list', 'The address holds a filter that does not exist.'), 400);
    const { limit, cursor, state, ...filters } = parsed.data;
    const by = {
      ...filters,
      ...(state === 'waiting' ? { approved: false } : {}),
      ...(state === 'decommissioned' ? { decommissioned: true } : {}),
    };
    const now = new Date();
    const found = await listDevices(c.var.db, by, { limit, cursor });
    const list = { ...found, items: await withPresence(c, found.items) };
    if (c.req.header('HX-Request-Type') === 'partial') {
      return c.html(<DeviceRows list={list} query={query} now={now} />, 200, { Vary: 'HX-Request-Type' });
    }
    const { by_firmware } = await deviceStats(c);
    const models = [...new Set(by_firmware.map(({ model }) => model))].sort();
    return c.html(
      page(
        'Devices',
        viewerOf(c),
        '/devices',
        <Devices
          list={list}
          query={query}
          models={models}
          mayOperate={may(c.var.principal.role, 'operate')}
          now={now}
        />,
      ),
      200,
      { Vary: 'HX-Request-Type' },
    );
  })
  .get('/devices/import', signedIn('operate'), (c) => importPage(c, {}))
  .post(
    '/devices/import',
    signedIn('operate'),
    bodyLimit({
      maxSize: MAX_IMPORT_BYTES,
      onError: (c) => c.html(errorPage('File too large', 'At most 20 MB at a time: split it.'), 413),
    }),
    async (c) => {
      const { file, dry_run } = await c.req.parseBody();
      if (!(file instanceof File) || file.size === 0) return importPage(c, { problem: 'Choose a file.' });
      const dryRun = dry_run === 'true';
      try {
        return await importPage(c, {
          report: await importCsv(c, textOf(await file.arrayBuffer()), dryRun),
          dryRun,
        });
      } catch (error) {
        if (!(error instanceof ProblemError)) throw error;
        const { title, detail } = await problemOf(error);
        return importPage(c, { problem: `${title}. ${detail ?? ''}` });
      }
    },
  )
  .get('/devices/:id', signedIn('read'), async (c) => devicePage(c, await theDevice(c, c.req.param('id'))))
  .get('/live/devices/:id', signedIn('read'), webSocketOnly, async (c) => {
    const { serialNo } = await theDevice(c, c.req.param('id'));
    const url = new URL(`/stream/devices/${serialNo}?format=html`, c.req.url);
    return shardFor(c.env, serialNo).fetch(new Request(url, c.req.raw));
  })
  .post('/devices/:id/reboot', signedIn('operate'), async (c) => {
    const row = await theDevice(c, c.req.param('id'));
    await rebootDevice(c, row);
    return c.redirect(`/devices/${row.serialNo}`, 303);
  })
  .post('/devices/:id/approve', signedIn('operate'), async (c) => {
    const row = await theDevice(c, c.req.param('id'));
    await approve(c, row);
    return c.redirect(`/devices/${row.serialNo}`, 303);
  })
  .post('/devices/:id/decommission', signedIn('operate'), async (c) => {
    const row = await theDevice(c, c.req.param('id'));
    await decommission(c, row);
    return c.redirect(`/devices/${row.serialNo}`, 303);
  })
  .post('/devices/:id/labels', signedIn('operate'), async (c) => {
    const row = await theDevice(c, c.req.param('id'));
    const fields = fieldsOf(await c.req.parseBody());
    const wanted = changeDeviceBody.safeParse({
      group: fields.group ?? null,
      tags: listOf(fields.tags) ?? [],
    });
    if (!wanted.success) return devicePage(c, row, { values: fields, errors: fieldErrors(wanted.error) });
    await relabel(c, row, wanted.data);
    return c.redirect(`/devices/${row.serialNo}`, 303);
  })
  .post('/devices/:id/revoke', signedIn('operate'), async (c) => {
    const row = await theDevice(c, c.req.param('id'));
    await revoke(c, row);
    return c.redirect(`/devices/${row.serialNo}`, 303);
  })
  .post('/devices/:id/config', signedIn('operate'), async (c) => {
    const row = await theDevice(c, c.req.param('id'));
    const values = fieldsOf(await c.req.parseBody());
    const { key = '', value = '' } = values;
    const errors = [
      ...(key === '' ? [{ field: 'key', message: 'a setting has a name' }] : []),
      ...(value === '' ? [{ field: 'value', message: 'a setting has a value' }] : []),
    ];
    if (errors.length > 0) return devicePage(c, row, { values, errors });
    const shape = configUpdate.shape.config;
    const config = shape.safeParse({ [key]: value });
    if (config.success && !Object.hasOwn(config.data, key))
      return devicePage(c, row, { values, errors: [{ field: 'key', message: 'no setting has this name' }] });
    if (!config.success) {
      const field = shape.safeParse({ [key]: 'any' }).success ? 'value' : 'key';
      const wrong = fieldErrors(config.error).map(({ message }) => ({ field, message }));
      return devicePage(c, row, { values, errors: wrong });
    }
    await configureDevice(c, row, config.data);
    return c.redirect(`/devices/${row.serialNo}`, 303);
  });
