/** A campaign's form: its fields as the API would be told them, and a policy as the fields show it. */
import type { CampaignPolicy, Day } from '../../protocol/api.ts';
import { DEFAULT_STAGES } from '../../protocol/api.ts';
import { FAILURE_CLASSES } from '../../protocol/campaign-policy.ts';
import { serialNosOf } from '../../protocol/serial-list.ts';
import { parseStagePlan } from '../../protocol/stage-plan.ts';
import type { FieldErrors } from '../../views/parts.tsx';
import { ProblemError } from '../problem.ts';
import { listOf } from './query.ts';

type Fields = Record<string, string>;

const DAYS: readonly Day[] = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'];
const NUMBERS = [
  'failure_threshold',
  'min_sample',
  'max_attempts',
  'max_concurrent',
  'rate_per_minute',
  'max_per_gateway',
  'priority',
] as const;
/** Fields in units people think in, and how many seconds one is. */
const TIMES = [
  ['update_timeout_min', 'update_timeout_s', 60],
  ['postpone_limit_h', 'postpone_limit_s', 3600],
] as const;

/** The fields, with the serial numbers of a file beside those that were written. Throws a 422 where it has none. */
export async function withSerialsOf(file: unknown, fields: Fields): Promise<Fields> {
  if (!(file instanceof File) || file.size === 0) return fields;
  const text = await file.text();
  const serials = orSay('target.file', () => serialNosOf(text));
  const all = [...(listOf(fields['target.serial_nos']) ?? []), ...serials];
  return { ...fields, 'target.serial_nos': all.join(', ') };
}

/** The target. A field that holds what is none is left to the API's own check. */
export const targetOf = (fields: Fields) => ({
  fw_version: fields['target.fw_version'],
  groups: listOf(fields['target.groups']),
  tags: listOf(fields['target.tags']),
  serial_nos: listOf(fields['target.serial_nos']),
  percentage: numberIn(fields, 'target.percentage'),
  ...(fields['target.dynamic'] === undefined ? {} : { dynamic: true }),
});

/**
 * The stages that were chosen, and whether one device comes before them; without a choice what is usual. What was
 * said of the gates holds for every stage.
 */
export function planOf(fields: Fields) {
  const own = fields.own_stages;
  if (own !== undefined)
    return {
      stages: withGates(
        orSay('stages', () => parseStagePlan(own)),
        fields,
        'missing',
      ),
      safe_mode: false,
    };
  const plan = fields.stages;
  if (plan === 'safe') return { stages: withGates(DEFAULT_STAGES, fields), safe_mode: true };
  if (plan === undefined) {
    return hasGates(fields) ? { usual: true as const, stages: withGates(DEFAULT_STAGES, fields) } : {};
  }
  return {
    stages: withGates(
      orSay('stages', () => parseStagePlan(plan)),
      fields,
    ),
    safe_mode: false,
  };
}

/** What was read of a field. Throws a 422 that says what is wrong with it. */
function orSay<Value>(field: string, read: () => Value): Value {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new ProblemError(422, 'Invalid input', undefined, [{ field, message: error.message }]);
  }
}

export const hasGates = (fields: Fields): boolean =>
  fields.success_threshold !== undefined || fields.min_duration_min !== undefined;

/** Stages with what the fields say of their gates: of all of them, or of what they do not say themselves. */
export function withGates<Stage extends object>(
  stages: readonly Stage[],
  fields: Fields,
  of: 'all' | 'missing' = 'all',
) {
  const success_threshold = numberIn(fields, 'success_threshold');
  const min_duration_s = secondsIn(fields, 'min_duration_min', 60);
  const gates = {
    ...(success_threshold === undefined ? {} : { success_threshold }),
    ...(min_duration_s === undefined ? {} : { min_duration_s }),
  };
  return stages.map((stage) => (of === 'all' ? { ...stage, ...gates } : { ...gates, ...stage }));
}

/** The policy but its stages; what an empty field means is left to the API. */
export function policyOf(fields: Fields) {
  const base = numberIn(fields, 'ramp.base_rate_per_minute');
  const ramp = {
    base_rate_per_minute: base,
    increment_factor: numberIn(fields, 'ramp.increment_factor'),
    successes: numberIn(fields, 'ramp.successes') ?? 100,
  };
  return {
    ...Object.fromEntries(NUMBERS.map((name) => [name, numberIn(fields, name)])),
    ...Object.fromEntries(TIMES.map(([field, name, unit]) => [name, secondsIn(fields, field, unit)])),
    on_failure: fields.on_failure,
    silence_gate: fields.silence_gate === undefined ? undefined : fields.silence_gate === 'true',
    failure_weights: weightsOf(fields),
    kind: fields.kind,
    ramp: base === undefined ? null : ramp,
    start_at: timeIn(fields, 'start_at'),
    end_at: timeIn(fields, 'end_at'),
    windows: windowsOf(fields),
  };
}

/** How much failures count, of those classes that are said; `undefined` where none is. */
function weightsOf(fields: Fields) {
  const said = FAILURE_CLASSES.flatMap((name) => {
    const weight = numberIn(fields, `failure_weights.${name}`);
    return weight === undefined ? [] : [[name, weight] as const];
  });
  return said.length === 0 ? undefined : Object.fromEntries(said);
}

function windowsOf(fields: Fields) {
  const rows = Object.keys(fields).flatMap((name) => /^windows\.(\d+)\.(?:from|to)$/.exec(name)?.[1] ?? []);
  return [...new Set(rows)].map((row) => {
    const days = DAYS.filter((day) => fields[`windows.${row}.${day}`] !== undefined);
    return {
      ...(days.length === 0 ? {} : { days }),
      from: fields[`windows.${row}.from`] ?? '',
      to: fields[`windows.${row}.to`] ?? '',
      time_zone: fields[`windows.${row}.time_zone`],
    };
  });
}

/** What is known of a policy. */
type Known = { [Name in keyof CampaignPolicy]?: CampaignPolicy[Name] | undefined };

/** A policy as the form shows it; what every stage has of its own is left out. */
export function fieldsOfPolicy(policy: Known): Fields {
  const { ramp, start_at, end_at, windows = [], on_failure, kind, silence_gate, failure_weights } = policy;
  const said: [string, string | number | null | undefined][] = [
    ...NUMBERS.map((name) => [name, policy[name]] as [string, number | null | undefined]),
    ...TIMES.map(([field, name, unit]): [string, number | undefined] => {
      const seconds = policy[name];
      return [field, seconds === undefined ? undefined : Number((seconds / unit).toFixed(4))];
    }),
    ['on_failure', on_failure],
    ['kind', kind],
    ['silence_gate', silence_gate === undefined ? undefined : String(silence_gate)],
    ...FAILURE_CLASSES.map((name): [string, number | undefined] => [
      `failure_weights.${name}`,
      failure_weights?.[name],
    ]),
    ['ramp.base_rate_per_minute', ramp?.base_rate_per_minute],
    ['ramp.increment_factor', ramp?.increment_factor],
    ['ramp.successes', ramp?.successes],
    ['start_at', minuteOf(start_at)],
    ['end_at', minuteOf(end_at)],
    ...windows.flatMap(({ days = [], from, to, time_zone }, i): [string, string][] => [
      ...days.map((day): [string, string] => [`windows.${i}.${day}`, 'on']),
      [`windows.${i}.from`, from],
      [`windows.${i}.to`, to],
      [`windows.${i}.time_zone`, time_zone],
    ]),
  ];
  return Object.fromEntries(said.flatMap(([name, value]) => (value == null ? [] : [[name, String(value)]])));
}

/** Where in the form a field of the API stands; stages that were written by hand are one field. */
export function toFormFields(errors: FieldErrors, fields: Fields): FieldErrors {
  return errors.map(({ field, message }) => {
    if (fields.own_stages !== undefined && /^stages\b/.test(field)) return { field: 'own_stages', message };
    const own = field.replace(/^stages\.\d+\./, '').replace(/^target\.serial_nos\.\d+$/, 'target.serial_nos');
    const time = TIMES.find(([, name]) => name === own)?.[0];
    return { field: own === 'min_duration_s' ? 'min_duration_min' : (time ?? own), message };
  });
}

const numberIn = (fields: Fields, name: string): number | undefined =>
  fields[name] === undefined ? undefined : Number(fields[name]);

function secondsIn(fields: Fields, name: string, unit: number): number | undefined {
  const n = numberIn(fields, name);
  return n === undefined ? undefined : Math.round(n * unit);
}

/** A time as `datetime-local` has it, in UTC. */
const timeIn = (fields: Fields, name: string): string | null => {
  const text = fields[name];
  return text === undefined ? null : `${text}${text.length === 16 ? ':00' : ''}Z`;
};

const minuteOf = (iso: string | null | undefined): string | undefined =>
  iso == null ? undefined : new Date(iso).toISOString().slice(0, 16);
