/** One device's update: every step it went through, and how long each took. */
import type { UpdateStep, UpdateTimeline } from '../protocol/update-timeline.ts';
import { duration } from './format.ts';
import { Badge, Empty, Moment, toneOf, wordOf } from './parts.tsx';

const Facts = ({ update }: { update: UpdateTimeline }) => (
  <section class="panel">
    <h2>Update</h2>
    <dl class="facts">
      <dt>Status</dt>
      <dd>
        <Badge state={update.status} />
      </dd>
      <dt>From</dt>
      <dd class="mono">{update.from_version ?? 'unknown'}</dd>
      <dt>To</dt>
      <dd class="mono">{update.to_version}</dd>
      <dt>Stage</dt>
      <dd>{update.stage + 1}</dd>
      <dt>Attempt</dt>
      <dd>{update.attempt}</dd>
      <dt>Group</dt>
      <dd>{update.group ?? '–'}</dd>
      <dt>Took</dt>
      <dd>{update.duration_s === null ? '–' : duration(update.duration_s)}</dd>
      <dt>Ended</dt>
      <dd>
        <Moment at={update.finished_at} />
      </dd>
    </dl>
  </section>
);

/** What a step is called: whose attempt it was, and how often it happened. */
function title({ state, attempt, times }: UpdateStep, attempts: boolean): string {
  const word = wordOf(state);
  const name = word.charAt(0).toUpperCase() + word.slice(1);
  return [name, attempts ? `attempt ${attempt}` : '', times > 1 ? `${times} times` : '']
    .filter(Boolean)
    .join(' · ');
}

/** How long a step took; of the one under way, how long it has taken so far. */
function took({ at, duration_s }: UpdateStep, over: boolean, now: Date): string {
  if (duration_s !== null) return duration(duration_s);
  return over ? '' : `${duration(Math.max(0, now.getTime() - Date.parse(at)) / 1000)} so far`;
}

const Step = ({
  step,
  attempts,
  over,
  now,
}: {
  step: UpdateStep;
  attempts: boolean;
  over: boolean;
  now: Date;
}) => {
  const said = [step.error, step.detail].filter((part) => part !== null).join(': ');
  return (
    <li data-tone={toneOf(step.state)}>
      <span>{title(step, attempts)}</span>
      <span class="number">{took(step, over, now)}</span>
      <span class="soft whole">
        <Moment at={step.at} />
      </span>
      {said === '' ? null : <span class="soft whole">{said}</span>}
    </li>
  );
};

export const UpdateTimelinePage = ({ update, now }: { update: UpdateTimeline; now: Date }) => {
  const attempts = new Set(update.steps.map(({ attempt }) => attempt)).size > 1;
  return (
    <>
      <div class="head">
        <div>
          <h1>{update.serial_no}</h1>
          <p class="sub">
            in <a href={`/campaigns/${update.campaign_id}`}>{update.campaign_name}</a>
            {update.archived ? ', archived' : ''}
          </p>
        </div>
        <div class="actions">
          <a class="button" href={`/devices/${update.serial_no}`}>
            The device
          </a>
        </div>
      </div>
      <div class="grid">
        <Facts update={update} />
        <section class="panel">
          <h2>Timeline</h2>
          {update.steps.length === 0 ? (
            <Empty>
              <p>It has not been offered the update yet.</p>
            </Empty>
          ) : (
            <ol class="timeline">
              {update.steps.map((step) => (
                <Step step={step} attempts={attempts} over={update.finished_at !== null} now={now} />
              ))}
            </ol>
          )}
        </section>
      </div>
    </>
  );
};
