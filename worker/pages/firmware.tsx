/** `/firmware`: the list, one firmware, and the upload form. */
import { Hono } from 'hono';
import {
  FIRMWARE_DOCUMENTS,
  firmwareDescription,
  firmwareKind,
  firmwareState,
  paging,
  withdrawal,
} from '../../protocol/api.ts';
import { firmwareTitle } from '../../protocol/target-path.ts';
import { listCampaigns } from '../../store/campaigns.ts';
import { findInstallations, listModels } from '../../store/catalogue.ts';
import { firmwareOf, listFirmware } from '../../store/firmware.ts';
import { FirmwarePage } from '../../views/firmware.tsx';
import { FirmwareList } from '../../views/firmware-list.tsx';
import { UploadForm } from '../../views/firmware-upload.tsx';
import { errorPage, page } from '../../views/layout.tsx';
import type { FieldErrors } from '../../views/parts.tsx';
import { serveDocument } from '../api/firmware-documents.ts';
import { theFirmware } from '../api/lookup.ts';
import { may } from '../auth/principal.ts';
import type { AppContext, AppEnv } from '../context.ts';
import { mostBytes, removeFirmware, withdrawFirmware } from '../operations/firmware.ts';
import { storeFirmware } from '../operations/store-firmware.ts';
import { fieldErrors, ProblemError, problemOf } from '../problem.ts';
import { type FirmwareForm, receiveFirmwareForm } from '../uploads/firmware-form.ts';
import { fieldsOf, queryOf } from './query.ts';
import { signedIn, viewerOf } from './session.tsx';

const filter = paging.extend({
  model: firmwareDescription.shape.model.optional(),
  kind: firmwareKind.optional(),
  state: firmwareState.optional(),
});

const modelNames = async (c: AppContext) => (await listModels(c.var.db)).map(({ model }) => model);

async function formPage(c: AppContext, values: Record<string, string>, errors?: FieldErrors) {
  const facts = { values, errors, models: await modelNames(c), maxBytes: await mostBytes(c) };
  return c.html(
    page('Upload firmware', viewerOf(c), '/firmware', <UploadForm {...facts} />),
    errors === undefined ? 200 : 422,
  );
}

async function firmwarePage(c: AppContext, id: string, problem?: string) {
  const row = await theFirmware(c, id);
  const campaigns = await listCampaigns(c.var.db, { firmware_id: row.id }, { limit: 50 });
  const data = {
    firmware: firmwareOf(row),
    campaigns: campaigns.items,
    installed: await findInstallations(c.var.db, row),
    mayOperate: may(c.var.principal.role, 'operate'),
    origin: c.env.PUBLIC_URL,
    problem,
    now: new Date(),
  };
  return c.html(
    page(firmwareTitle(row), viewerOf(c), '/firmware', <FirmwarePage {...data} />),
    problem === undefined ? 200 : 409,
  );
}

/** Does it and goes there; what cannot be done is said on the firmware's page. */
async function attempt(c: AppContext, id: string, to: string, work: () => Promise<unknown>) {
  try {
    await work();
    return c.redirect(to, 303);
  } catch (error) {
    if (!(error instanceof ProblemError) || error.status === 404) throw error;
    const { title, detail } = await problemOf(error);
    return firmwarePage(c, id, `${title}: ${detail ?? ''}`);
  }
}

export const firmware = new Hono<AppEnv>()
  .get('/firmware', signedIn(), async (c) => {
    const query = queryOf(c);
    const parsed = filter.safeParse(query);
    if (!parsed.success)
      return c.html(errorPage('No such list', 'The address holds a filter that does not exist.'), 400);
    const { limit, cursor, ...by } = parsed.data;
    const data = {
      list: await listFirmware(c.var.db, by, { limit, cursor }),
      models: await modelNames(c),
      query,
      mayUpload: may(c.var.principal.role, 'firmware.write'),
      now: new Date(),
    };
    return c.html(page('Firmware', viewerOf(c), '/firmware', <FirmwareList {...data} />));
  })
  .get('/firmware/new', signedIn('firmware.write'), (c) => formPage(c, queryOf(c)))
  .post('/firmware/new', signedIn('firmware.write'), async (c) => {
    let form: FirmwareForm = { fields: {}, file: undefined };
    try {
      form = await receiveFirmwareForm(c);
      const { file, fields } = form;
      const description = firmwareDescription.safeParse(fields);
      const wrong = description.success ? [] : fieldErrors(description.error);
      if (file === undefined) wrong.unshift({ field: 'file', message: 'choose a file that is not empty' });
      if (!description.success || file === undefined) return await formPage(c, fields, wrong);
      const { row } = await storeFirmware(c, description.data, file);
      return c.redirect(`/firmware/${row.id}`, 303);
    } catch (error) {
      if (!(error instanceof ProblemError)) throw error;
      const { title, detail } = await problemOf(error);
      return formPage(c, form.fields, [{ field: '', message: `${title}. ${detail ?? ''}` }]);
    } finally {
      await form.file?.discard();
    }
  })
  .get('/firmware/:id', signedIn(), (c) => firmwarePage(c, c.req.param('id')))
  .get('/firmware/:id/download', signedIn(), (c) =>
    c.redirect(`/api/v1/firmware/${c.req.param('id')}/download`, 302),
  )
  .post('/firmware/:id/withdraw', signedIn('operate'), async (c) => {
    const id = c.req.param('id');
    const said = withdrawal.safeParse(fieldsOf(await c.req.parseBody()));
    if (!said.success) return firmwarePage(c, id, 'Say why it is withdrawn, in at most 500 characters.');
    return attempt(c, id, `/firmware/${id}`, async () =>
      withdrawFirmware(c, await theFirmware(c, id), said.data.reason),
    );
  })
  .post('/firmware/:id/delete', signedIn('operate'), (c) => {
    const id = c.req.param('id');
    return attempt(c, id, '/firmware', async () => removeFirmware(c, await theFirmware(c, id)));
  });

for (const document of FIRMWARE_DOCUMENTS) {
  firmware.get(`/firmware/:id/${document}`, signedIn(), (c) =>
    serveDocument(c, c.req.param('id') ?? '', document),
  );
}
