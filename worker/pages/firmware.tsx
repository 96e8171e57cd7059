/** `/firmware`: the list, one firmware, and the upload form. */
import { Hono } from 'hono';
import { firmwareDescription, paging } from '../../protocol/api.ts';
import { listCampaigns } from '../../store/campaigns.ts';
import { firmwareOf, listFirmware } from '../../store/firmware.ts';
import { FirmwareList, FirmwarePage, UploadForm } from '../../views/firmware.tsx';
import { page } from '../../views/layout.tsx';
import type { FieldErrors } from '../../views/parts.tsx';
import { theFirmware } from '../api/lookup.ts';
import { may } from '../auth/principal.ts';
import type { AppContext, AppEnv } from '../context.ts';
import { removeFirmware, storeFirmware } from '../operations/firmware.ts';
import { fieldErrors, ProblemError, problemOf } from '../problem.ts';
import { fieldsOf, queryOf } from './query.ts';
import { signedIn, viewerOf } from './session.tsx';

const formPage = (c: AppContext, values: Record<string, string>, errors?: FieldErrors) =>
  c.html(
    page('Upload firmware', viewerOf(c), '/firmware', <UploadForm values={values} errors={errors} />),
    errors === undefined ? 200 : 422,
  );

export const firmware = new Hono<AppEnv>()
  .get('/firmware', signedIn(), async (c) => {
    const query = queryOf(c);
    const list = await listFirmware(c.var.db, {}, paging.parse(query));
    const mayUpload = may(c.var.principal.role, 'firmware.write');
    return c.html(
      page(
        'Firmware',
        viewerOf(c),
        '/firmware',
        <FirmwareList list={list} query={query} mayUpload={mayUpload} now={new Date()} />,
      ),
    );
  })
  .get('/firmware/new', signedIn('firmware.write'), (c) => formPage(c, {}))
  .post('/firmware/new', signedIn('firmware.write'), async (c) => {
    const form = await c.req.parseBody();
    const values = fieldsOf(form);
    const description = firmwareDescription.safeParse(values);
    const { file } = form;
    const missing =
      file instanceof File && file.size > 0 ? [] : [{ field: 'file', message: 'choose a file' }];
    if (!description.success) return formPage(c, values, [...missing, ...fieldErrors(description.error)]);
    if (!(file instanceof File) || missing.length > 0) return formPage(c, values, missing);
    try {
      const { row } = await storeFirmware(c, description.data, file);
      return c.redirect(`/firmware/${row.id}`, 303);
    } catch (error) {
      if (!(error instanceof ProblemError)) throw error;
      const { title, detail } = await problemOf(error);
      return formPage(c, values, [{ field: '', message: `${title}. ${detail ?? ''}` }]);
    }
  })
  .get('/firmware/:id', signedIn(), async (c) => {
    const row = await theFirmware(c, c.req.param('id'));
    const campaigns = await listCampaigns(c.var.db, { firmware_id: row.id }, { limit: 50 });
    const data = {
      firmware: firmwareOf(row),
      campaigns: campaigns.items,
      mayDelete: may(c.var.principal.role, 'operate'),
      origin: c.env.PUBLIC_URL,
      now: new Date(),
    };
    return c.html(page(`${row.model} ${row.version}`, viewerOf(c), '/firmware', <FirmwarePage {...data} />));
  })
  .get('/firmware/:id/download', signedIn(), (c) =>
    c.redirect(`/api/v1/firmware/${c.req.param('id')}/download`, 302),
  )
  .post('/firmware/:id/delete', signedIn('operate'), async (c) => {
    await removeFirmware(c, await theFirmware(c, c.req.param('id')));
    return c.redirect('/firmware', 303);
  });
