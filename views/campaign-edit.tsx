/** The form that changes a campaign: all of it that may change while it runs. */
import type { Campaign } from '../protocol/api.ts';
import {
  FailureFields,
  type FieldValues,
  Folded,
  GateFields,
  KindFields,
  PaceFields,
} from './campaign-fields.tsx';
import { TimeFields } from './campaign-times.tsx';
import { Field, type FieldErrors } from './parts.tsx';

export const CampaignEdit = ({
  campaign: c,
  values,
  seen,
  errors,
}: {
  campaign: Campaign;
  values: FieldValues;
  /** Stands for the campaign as it is shown: it is sent back, so that no other's change is undone unseen. */
  seen: string;
  errors?: FieldErrors | undefined;
}) => (
  <>
    <div class="head">
      <div>
        <h1>Change {c.name}</h1>
        <p class="sub">
          {c.started_at === null
            ? 'A change needs approval anew, where the settings ask for it.'
            : 'It holds from the next second on; what is under way goes on. Who changed what is kept.'}
        </p>
      </div>
    </div>
    <section class="panel">
      <form class="stack" method="post" action={`/campaigns/${c.id}/edit`}>
        <input type="hidden" name="seen" value={seen} />
        {errors === undefined ? null : (
          <p class="notice" data-tone="bad" role="alert">
            {errors.find(({ field }) => field === '')?.message ?? 'Some fields are missing or wrong.'}
          </p>
        )}
        <Field name="name" label="Name" errors={errors}>
          {(attributes) => <input {...attributes} required maxlength={120} value={values.name ?? ''} />}
        </Field>
        <div class="folds">
          <Folded
            title="Gates between stages"
            now="as each stage has it"
            errors={errors}
            fields={['stages', 'success_threshold', 'min_duration_min']}
          >
            <p class="help">What you fill in holds for every stage. The devices of the stages stay.</p>
            <GateFields values={values} errors={errors} placeholder="as it is" />
          </Folded>
          <FailureFields values={values} errors={errors} />
          <PaceFields values={values} errors={errors} />
          <TimeFields values={values} errors={errors} />
          <KindFields values={values} errors={errors} />
        </div>
        <div class="actions">
          <button class="primary">Save</button>
          <a href={`/campaigns/${c.id}`}>Back</a>
        </div>
      </form>
    </section>
  </>
);
