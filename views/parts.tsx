/** Small parts that every page shares. */
import type { Child } from 'hono/jsx';
import type { CampaignStatus, DeviceStatus, Firmware, UpdateState } from '../protocol/api.ts';
import type { UpdateStep } from '../protocol/update-timeline.ts';
import { absolute, ago } from './format.ts';

export type Tone = 'good' | 'busy' | 'bad' | 'wait';
type StepState = UpdateStep['state'];

const TONES: Record<
  UpdateState | StepState | CampaignStatus | DeviceStatus | Firmware['state'] | 'archived',
  Tone
> = {
  pending: 'wait',
  offered: 'busy',
  downloading: 'busy',
  installing: 'busy',
  rebooting: 'busy',
  completed: 'good',
  failed: 'bad',
  rollback: 'bad',
  skipped: 'wait',
  deferred: 'wait',
  arrived: 'good',
  draft: 'wait',
  scheduled: 'wait',
  active: 'busy',
  paused: 'bad',
  cancelled: 'wait',
  rolled_back: 'bad',
  online: 'good',
  offline: 'wait',
  updating: 'busy',
  uploaded: 'wait',
  published: 'good',
  withdrawn: 'bad',
  archived: 'wait',
};

const WORDS: Partial<Record<keyof typeof TONES, string>> = {
  rollback: 'rolled back',
  rolled_back: 'rolled back',
  arrived: 'arrived on its way',
};

export const toneOf = (state: keyof typeof TONES): Tone => TONES[state];
export const wordOf = (state: keyof typeof TONES): string => WORDS[state] ?? state;

export const Badge = ({ state }: { state: keyof typeof TONES }) => (
  <span class="badge" data-tone={toneOf(state)}>
    {wordOf(state)}
  </span>
);

/** A moment: how long ago, and exactly when on hovering. */
export const When = ({ at, now, none = 'never' }: { at: string | null; now: Date; none?: string }) =>
  at === null ? (
    <span class="soft">{none}</span>
  ) : (
    <time datetime={at} title={absolute(at)}>
      {ago(at, now)}
    </time>
  );

/** A moment, exactly. */
export const Moment = ({ at }: { at: string | null }) =>
  at === null ? <span class="soft">–</span> : <time datetime={at}>{absolute(at)}</time>;

/** A share of a whole, stacked. Widths are geometry, not style: the content policy allows no inline styles. */
export const StackedBar = ({ parts, label }: { parts: { tone: Tone; share: number }[]; label: string }) => {
  let x = 0;
  return (
    <svg class="bar" role="img" aria-label={label} viewBox="0 0 1000 10" preserveAspectRatio="none">
      {parts.map(({ tone, share }) => {
        const [from, width] = [x, Math.round(share * 1000)];
        x += width;
        return width === 0 ? null : <rect data-tone={tone} x={from} y="0" width={width} height="10" />;
      })}
    </svg>
  );
};

export const Empty = ({ children }: { children: Child }) => <div class="empty">{children}</div>;

/** Links to the next page and back to the first. */
export const Pager = ({
  path,
  query,
  next,
}: {
  path: string;
  query: Record<string, string>;
  next: string | null;
}) => {
  const { cursor, ...rest } = query;
  if (next === null && cursor === undefined) return null;
  const to = (more: Record<string, string>) => `${path}?${new URLSearchParams({ ...rest, ...more })}`;
  return (
    <nav class="pager" aria-label="Pages">
      {cursor === undefined ? <span /> : <a href={to({})}>First page</a>}
      {next === null ? <span /> : <a href={to({ cursor: next })}>Next page</a>}
    </nav>
  );
};

/** A button that does something at once, as a form of its own. */
export const Action = ({
  to,
  children,
  kind,
  seen,
}: {
  to: string;
  children: Child;
  kind?: 'primary' | 'danger';
  /** Stands for what is shown: it is sent back, so that nothing else is meant. */
  seen?: string | undefined;
}) => (
  <form method="post" action={to}>
    {seen === undefined ? null : <input type="hidden" name="seen" value={seen} />}
    <button class={kind ?? ''}>{children}</button>
  </form>
);

/** A button that asks first, with what else has to be said. Opens without a script. */
export const Ask = ({
  to,
  label,
  question,
  id,
  danger = false,
  children,
}: {
  to: string;
  label: string;
  question: string;
  id?: string;
  /** What is over then is over. */
  danger?: boolean;
  children?: Child;
}) => (
  <details class="ask" {...(id === undefined ? {} : { id })}>
    <summary class={danger ? 'danger' : ''}>{label}</summary>
    <div>
      <form class="stack" method="post" action={to}>
        <p>{question}</p>
        {children}
        <button class={danger ? 'danger' : 'primary'}>{label}</button>
      </form>
    </div>
  </details>
);

/** {@link Ask} for what cannot be undone. */
export const AskFirst = (asked: { to: string; label: string; question: string }) => <Ask {...asked} danger />;

/** One field of a form, its help, and what was wrong with it. */
export const Field = ({
  name,
  label,
  help,
  errors,
  children,
}: {
  name: string;
  label: string;
  help?: string;
  errors?: FieldErrors | undefined;
  children: (attributes: { id: string; name: string } & Record<string, string>) => Child;
}) => {
  const wrong = errors?.filter(({ field }) => field === name || field.startsWith(`${name}.`)) ?? [];
  const described = [help === undefined ? '' : `${name}-help`, wrong.length === 0 ? '' : `${name}-wrong`];
  const id = `field-${name}`;
  return (
    <div class="field">
      <label for={id}>{label}</label>
      {children({
        id,
        name,
        ...(wrong.length === 0 ? {} : { 'aria-invalid': 'true' }),
        ...(described.join('') === '' ? {} : { 'aria-describedby': described.join(' ').trim() }),
      })}
      {help === undefined ? null : <small id={`${name}-help`}>{help}</small>}
      {wrong.length === 0 ? null : (
        <span class="wrong" id={`${name}-wrong`}>
          {wrong.map(({ message }) => message).join('; ')}
        </span>
      )}
    </div>
  );
};

export type FieldErrors = readonly { field: string; message: string }[];
