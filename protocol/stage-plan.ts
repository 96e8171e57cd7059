/** Stages as people write them: `1 device after 1 h, group beta, 10 %, 100 % manual`. */
import type { Stage } from './campaign-policy.ts';

/** A stage with what was said of it. */
export type PlannedStage = Pick<Stage, 'name'> & Partial<Omit<Stage, 'name'>>;

const HOW =
  'a stage is "10 %", "5 devices" or "group beta" (a name with spaces in quotes); behind that, where wanted and each once, "at 98 %", "after 2 h" and "manual"';
const SECONDS = { s: 1, min: 60, h: 3600, d: 86_400 } as const;

const WHAT =
  /^(?:(?<count>\d+)\s*devices?|(?<share>\d+(?:\.\d+)?)\s*%?|group\s+(?:"(?<quoted>[^"]+)"|(?<group>[^\s"]+)))(?=\s|$)/i;
const OPTION =
  /\s+(?:(?<manual>manual)|at\s+(?<at>\d+(?:\.\d+)?)\s*%?|after\s+(?<time>(?:\s*\d+(?:\.\d+)?\s*(?:s|min|h|d))+))(?=\s|$)/iy;
/** A piece of a time: `1 h 30 min` has two. */
const TIME = /(?<number>[\d.]+)\s*(?<unit>s|min|h|d)/gi;

/** Part of a decimal to some, and the end of a stage to others. */
const DECIMAL_COMMA = /\d+,\d+\s*(?:%|(?:devices?|s|min|h|d)(?![a-z]))/i;

/** Reads them, separated by commas. Throws a RangeError that says what is none; the API judges whether they go together. */
export function parseStagePlan(text: string): PlannedStage[] {
  const unclear = DECIMAL_COMMA.exec(text.replaceAll(/"[^"]*"/g, ''))?.[0];
  if (unclear !== undefined)
    throw new RangeError(
      `"${unclear}" can be one number or two: write a decimal with a point, and a space behind a comma between stages`,
    );
  // Not at commas in the name of a group, which then is in quotes.
  return text.split(/,(?=(?:[^"]*"[^"]*")*[^"]*$)/).map((part) => stageOf(part.trim()));
}

function stageOf(text: string): PlannedStage {
  const match = WHAT.exec(text);
  if (match === null) throw new RangeError(`"${text}" is no stage: ${HOW}`);
  const { count, share, quoted, group = quoted } = match.groups ?? {};
  const options = optionsOf(text, match[0].length);
  if (group !== undefined) return { name: group, group, ...options };
  if (count !== undefined)
    return {
      name: `${Number(count)} ${Number(count) === 1 ? 'device' : 'devices'}`,
      count: Number(count),
      ...options,
    };
  return { name: `${Number(share)} %`, percentage: Number(share), ...options };
}

function optionsOf(text: string, from: number): Omit<PlannedStage, 'name'> {
  const options: Omit<PlannedStage, 'name'> = {};
  for (let at = from; at < text.length; at = OPTION.lastIndex) {
    OPTION.lastIndex = at;
    const said = OPTION.exec(text)?.groups;
    if (said === undefined)
      throw new RangeError(`"${text.slice(at).trim()}" says nothing of a stage: ${HOW}`);
    const option: Omit<PlannedStage, 'name'> =
      said.manual !== undefined
        ? { start: 'manual' }
        : said.at !== undefined
          ? { success_threshold: Number(said.at) }
          : { min_duration_s: secondsOf(said.time ?? '') };
    if (Object.keys(option).some((key) => key in options))
      throw new RangeError(
        `"${text}" says "${text.slice(at, OPTION.lastIndex).trim()}" where that was said before`,
      );
    Object.assign(options, option);
  }
  return options;
}

function secondsOf(time: string): number {
  const pieces = [...time.matchAll(TIME)].map(({ groups }) => {
    const unit = SECONDS[groups?.unit?.toLowerCase() as keyof typeof SECONDS];
    return Number(groups?.number) * unit;
  });
  return Math.round(pieces.reduce((sum, piece) => sum + piece, 0));
}
