/** `/campaigns/new`, `/campaigns/preview`, `/campaigns/{id}/edit`: the forms that make and change a campaign. */
import { Hono } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import { fingerprint } from '../../durable-objects/campaign/change.ts';
import { readSettings } from '../../durable-objects/coordinator/settings.ts';
import {
  type CampaignPreview,
  campaignPolicy,
  createCampaign as createCampaignInput,
} from '../../protocol/api.ts';
import type { CampaignRow } from '../../store/campaigns.ts';
import { listFirmware } from '../../store/firmware.ts';
import { CampaignEdit } from '../../views/campaign-edit.tsx';
import { CampaignForm } from '../../views/campaign-form.tsx';
import { Preview } from '../../views/campaign-preview.tsx';
import { errorPage, page } from '../../views/layout.tsx';
import type { FieldErrors } from '../../views/parts.tsx';
import { theCampaign, theFirmware } from '../api/lookup.ts';
import type { AppContext, AppEnv } from '../context.ts';
import { changeCampaign } from '../operations/campaign-change.ts';
import { plannedStages, previewCampaign } from '../operations/campaign-plan.ts';
import { campaignNow, createCampaign } from '../operations/campaigns.ts';
import { MAX_IMPORT_BYTES } from '../operations/device-import.ts';
import { fieldErrors, ProblemError, problemOf } from '../problem.ts';
import {
  fieldsOfPolicy,
  hasGates,
  planOf,
  policyOf,
  targetOf,
  toFormFields,
  withGates,
  withSerialsOf,
} from './campaign-fields.ts';
import { fieldsOf, queryOf } from './query.ts';
import { signedIn, viewerOf } from './session.tsx';

const withFile = bodyLimit({
  maxSize: MAX_IMPORT_BYTES,
  onError: (c) => c.html(errorPage('File too large', 'At most 20 MB of serial numbers.'), 413),
});

async function formPage(
  c: AppContext,
  values: Record<string, string>,
  { errors, preview }: { errors?: FieldErrors; preview?: CampaignPreview } = {},
) {
  const firmware = await listFirmware(c.var.db, { state: 'published' }, { limit: 200 });
  const content = (
    <CampaignForm values={values} firmware={firmware.items} errors={errors} preview={preview} />
  );
  return c.html(page('New campaign', viewerOf(c), '/campaigns', content), errors === undefined ? 200 : 422);
}

/** What the form says, checked as the API checks it. Throws a 422. */
async function readCreate(c: AppContext, fields: Record<string, string>) {
  const { usual, ...plan } = planOf(fields);
  const said = {
    name: fields.name ?? '',
    firmware_id: fields.firmware_id ?? '',
    target: targetOf(fields),
    ...policyOf(fields),
    ...plan,
  };
  const create = createCampaignInput.safeParse(said);
  if (!create.success) {
    throw new ProblemError(422, 'Invalid input', undefined, fieldErrors(create.error));
  }
  if (usual !== true) return { create: create.data, said };
  // The usual stages, but with gates of their own: what is usual is looked up first.
  const firmware = await theFirmware(c, create.data.firmware_id);
  const stages = await plannedStages(c, firmware, { stages: undefined, safe_mode: undefined });
  return { create: { ...create.data, stages: withGates(stages, fields), safe_mode: false }, said };
}

/** What was wrong with a form, field by field; rethrows what the form cannot help. */
async function troubleOf(error: unknown, fields: Record<string, string>): Promise<FieldErrors> {
  if (!(error instanceof ProblemError) || error.status === 404) throw error;
  const { title, detail, errors } = await problemOf(error);
  return errors === undefined
    ? [{ field: '', message: `${title}. ${detail ?? ''}` }]
    : toFormFields(errors, fields);
}

export const campaignForms = new Hono<AppEnv>()
  .get('/campaigns/new', signedIn('operate'), async (c) => {
    const { campaign_defaults } = await readSettings(c.env);
    return formPage(c, { ...fieldsOfPolicy(campaign_defaults), ...queryOf(c) });
  })
  .post('/campaigns/new', signedIn('operate'), withFile, async (c) => {
    const body = await c.req.parseBody();
    let fields = fieldsOf(body);
    try {
      fields = await withSerialsOf(body['target.file'], fields);
      const { create, said } = await readCreate(c, fields);
      const { id } = await createCampaign(c, create, said);
      return c.redirect(`/campaigns/${id}`, 303);
    } catch (error) {
      return formPage(c, fields, { errors: await troubleOf(error, fields) });
    }
  })
  .post('/campaigns/preview', signedIn('operate'), withFile, async (c) => {
    const body = await c.req.parseBody();
    let fields = fieldsOf(body);
    const isPartial = c.req.header('HX-Request-Type') === 'partial';
    try {
      fields = await withSerialsOf(body['target.file'], fields);
      // A campaign needs a name only when it is made.
      const { create } = await readCreate(c, { ...fields, name: fields.name ?? 'preview' });
      const firmware = await theFirmware(c, create.firmware_id);
      const stages = 'stages' in planOf(fields) ? create.stages : undefined;
      const planned = await plannedStages(c, firmware, { stages, safe_mode: create.safe_mode });
      const preview = await previewCampaign(c, firmware, create.target, planned);
      return isPartial ? c.html(<Preview preview={preview} />) : await formPage(c, fields, { preview });
    } catch (error) {
      const errors = await troubleOf(error, fields);
      if (!isPartial) return formPage(c, fields, { errors });
      return c.html(<Preview problem={errors.map(({ message }) => message).join('; ')} />);
    }
  })
  .get('/campaigns/:id/preview', signedIn('read'), async (c) => {
    const { row, firmware } = await theCampaign(c, c.req.param('id'));
    const { stages } = campaignPolicy.parse(row.policy);
    const preview = <Preview preview={await previewCampaign(c, firmware, row.target, stages)} />;
    const Vary = { Vary: 'HX-Request-Type' };
    if (c.req.header('HX-Request-Type') === 'partial') return c.html(preview, 200, Vary);
    return c.html(page(`Devices for ${row.name}`, viewerOf(c), '/campaigns', preview), 200, Vary);
  })
  .get('/campaigns/:id/edit', signedIn('operate'), async (c) => {
    return editPage(c, (await theCampaign(c, c.req.param('id'))).row);
  })
  .post('/campaigns/:id/edit', signedIn('operate'), async (c) => {
    const found = await theCampaign(c, c.req.param('id'));
    const { seen, ...fields } = fieldsOf(await c.req.parseBody());
    try {
      const edit = changeOf(fields, found.row);
      await changeCampaign(c, found.row.id, edit, async ({ row }) => {
        if (seen !== (await fingerprint(row))) throw changedMeanwhile();
      });
      return c.redirect(`/campaigns/${found.row.id}`, 303);
    } catch (error) {
      const errors = await troubleOf(error, fields);
      const isStale = error instanceof ProblemError && error.status === 412;
      const { row } = await theCampaign(c, found.row.id);
      return isStale ? editPage(c, row, undefined, errors) : editPage(c, found.row, fields, errors);
    }
  });

const changedMeanwhile = () =>
  new ProblemError(
    412,
    'Changed meanwhile',
    'Somebody has changed it since you opened this page. This is how it is now: make your change again.',
  );

/** The form with what was typed, else as the campaign is. */
async function editPage(
  c: AppContext,
  row: CampaignRow,
  typed?: Record<string, string>,
  errors?: FieldErrors,
) {
  const { campaign } = await campaignNow(c, row.id);
  const values = typed ?? { ...fieldsOfPolicy(campaignPolicy.parse(row.policy)), name: row.name };
  const content = (
    <CampaignEdit campaign={campaign} values={values} seen={await fingerprint(row)} errors={errors} />
  );
  return c.html(
    page(`Change ${campaign.name}`, viewerOf(c), '/campaigns', content),
    errors === undefined ? 200 : 422,
  );
}

/** What the form changes of a campaign: a field that stands as it did changes nothing. Throws a 422. */
function changeOf(fields: Record<string, string>, row: Pick<CampaignRow, 'name' | 'policy'>) {
  const old = campaignPolicy.parse(row.policy);
  const before = new Map(Object.entries(policyOf(fieldsOfPolicy(old))));
  const said = Object.entries(policyOf(fields)).filter(
    ([name, value]) => JSON.stringify(value) !== JSON.stringify(before.get(name)),
  );
  const change = {
    ...Object.fromEntries(said),
    ...(hasGates(fields) ? { stages: withGates(old.stages, fields) } : {}),
    ...(fields.name === row.name ? {} : { name: fields.name ?? '' }),
  };
  // An emptied field means what is usual.
  const wanted = changed.safeParse(change);
  if (!wanted.success) throw new ProblemError(422, 'Invalid input', undefined, fieldErrors(wanted.error));
  return Object.fromEntries(Object.entries(wanted.data).filter(([name]) => name in change));
}

const changed = campaignPolicy.extend({ name: createCampaignInput.shape.name.optional() });
