/** What a campaign would do, were it started now. */
import type { Rehearsal } from '../protocol/rehearsal.ts';
import { count, duration, plural, size } from './format.ts';

interface RehearsalData {
  campaign: { id: string; name: string };
  rehearsal: Rehearsal;
  /** What was asked for in place of the recorded rate, as it was typed. */
  failureRate: string;
}

const ENDS = {
  completed: 'completed',
  paused: 'was paused by its gate',
  rolled_back: 'was rolled back by its gate',
  unfinished: 'had not ended after 60 days',
} as const;

const Verdict = ({ ends, stops, expected_duration_s, left_out }: Rehearsal) => {
  const runs = Object.values(ends).reduce((sum, n) => sum + n, 0);
  const good = ends.completed === runs && left_out === 0;
  const said = Object.entries(ENDS).flatMap(([end, words]) => {
    const n = ends[end as keyof typeof ENDS];
    return n === 0 ? [] : [`${n === runs ? 'every time' : `${n} of ${runs} times`} it ${words}`];
  });
  return (
    <div class="notice" data-tone={good ? 'good' : 'bad'}>
      <p>
        Played {runs} times: {said.join(', ')}. {good ? 'Expected to take' : 'The run in the middle took'}{' '}
        <b>{duration(expected_duration_s)}</b>.
      </p>
      {left_out === 0 ? null : (
        <p>{plural(left_out, 'device')} had not begun when its end came: let it end later, or go faster.</p>
      )}
      {stops.map(({ reason, runs: n }) => (
        <p>
          In {plural(n, 'run')}: {reason}.
        </p>
      ))}
    </div>
  );
};

/** How many completed and failed by when, as areas; the numbers beside it are in HTML. */
const Progress = ({ progress, devices, expected_duration_s }: Rehearsal) => {
  const last = progress.at(-1);
  if (last === undefined || expected_duration_s === 0) return null;
  const x = (after: number) => ((after / expected_duration_s) * 600).toFixed(1);
  const y = (n: number) => (150 - (n / devices) * 150).toFixed(1);
  const steps = (pick: (point: Rehearsal['progress'][number]) => number) =>
    progress.map((point) => `H${x(point.after_s)} V${y(pick(point))}`).join(' ');
  const area = (pick: (point: Rehearsal['progress'][number]) => number) =>
    `M0 150 ${steps(pick)} H600 V150 Z`;
  return (
    <figure class="chart">
      <figcaption class="soft">
        Devices by time: {count(last.completed)} completed, {count(last.failed)} failed
      </figcaption>
      <svg
        viewBox="0 0 600 150"
        preserveAspectRatio="none"
        role="img"
        aria-label="Completed and failed by time"
      >
        <path data-tone="good" d={area(({ completed }) => completed)} />
        <path data-tone="bad" d={area(({ failed }) => failed)} />
      </svg>
      <div class="axis soft">
        <span>start</span>
        <span>{duration(expected_duration_s / 2)}</span>
        <span>{duration(expected_duration_s)}</span>
      </div>
    </figure>
  );
};

const when = (after: number | null): string => (after === null ? 'never' : duration(after));

const Stages = ({ stages }: Rehearsal) => (
  <div class="scroll" tabindex={0} role="region" aria-label="Stages">
    <table>
      <thead>
        <tr>
          <th>Stage</th>
          <th class="number">Devices</th>
          <th class="number">Opens after</th>
          <th class="number">Passes after</th>
        </tr>
      </thead>
      <tbody>
        {stages.map((stage) => (
          <tr>
            <td class="name">{stage.name}</td>
            <td class="number">{count(stage.devices)}</td>
            <td class="number">{when(stage.opens_after_s)}</td>
            <td class="number">{when(stage.passes_after_s)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  </div>
);

const Load = ({ load }: Rehearsal) => (
  <dl class="facts">
    <dt>Updates at a time</dt>
    <dd>at most {count(load.peak_concurrent)}</dd>
    <dt>Downloads</dt>
    <dd>at most {count(load.peak_downloads_per_minute)} begin in a minute</dd>
    <dt>Bytes</dt>
    <dd>
      {size(load.total_bytes)} in all, at most {size(load.peak_bytes_per_second)} a second
    </dd>
  </dl>
);

const Past = ({ history, assumptions }: Rehearsal) => (
  <>
    <p class="soft">
      {history.recorded
        ? `${plural(history.updates, 'finished update')} of this model on record; `
        : 'No finished update of this model on record; '}
      played with {history.failure_rate} % failing, and {duration(history.usual_duration_s)} as the usual
      time.
    </p>
    <ul class="soft">
      {assumptions.map((sentence) => (
        <li>{sentence}</li>
      ))}
    </ul>
  </>
);

export const RehearsalPage = ({ campaign, rehearsal, failureRate }: RehearsalData) => (
  <>
    <div class="head">
      <div>
        <h1>Rehearsal of {campaign.name}</h1>
        <p class="sub">
          <a href={`/campaigns/${campaign.id}`}>Back to the campaign</a>; nothing was started.
        </p>
      </div>
    </div>
    <Verdict {...rehearsal} />
    <section class="panel">
      <h2>How it would go</h2>
      <Progress {...rehearsal} />
      <Stages {...rehearsal} />
    </section>
    <section class="panel">
      <h2>Load</h2>
      <Load {...rehearsal} />
    </section>
    <section class="panel">
      <h2>What it was played with</h2>
      <Past {...rehearsal} />
      <form class="filters" method="get">
        <div class="field">
          <label for="failure-rate">Failing updates (%)</label>
          <input
            id="failure-rate"
            name="failure_rate"
            type="number"
            min="0"
            max="100"
            step="any"
            value={failureRate}
            placeholder={String(rehearsal.history.failure_rate)}
          />
        </div>
        <button>Play again</button>
      </form>
    </section>
  </>
);
