/** Filters out of an address: a form sends empty fields, which mean nothing. */
import type { AppContext } from '../context.ts';

export function queryOf(c: AppContext): Record<string, string> {
  return Object.fromEntries(Object.entries(c.req.query()).filter(([, value]) => value !== ''));
}

/** The text fields of a form. */
export function fieldsOf(form: Record<string, unknown>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(form).flatMap(([name, value]) =>
      typeof value === 'string' && value !== '' ? [[name, value]] : [],
    ),
  );
}

/** The parts of a field that holds several, separated by commas or lines; `undefined` where there are none. */
export function listOf(text: string | undefined): string[] | undefined {
  const parts = text
    ?.split(/[,\n]/)
    .map((part) => part.trim())
    .filter((part) => part !== '');
  return parts === undefined || parts.length === 0 ? undefined : parts;
}
