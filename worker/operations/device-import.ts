/** Devices from a CSV file: checked line by line, written in bulk. */
import { CsvError, parse } from 'csv-parse/sync';
import { z } from 'zod';
import { type ImportReport, registerDevice } from '../../protocol/api.ts';
import { auditEntry } from '../../store/audit-log.ts';
import { type ImportedDevice, importDevices } from '../../store/device-import.ts';
import { findRules } from '../../store/groups.ts';
import type { AppContext } from '../context.ts';
import { ProblemError } from '../problem.ts';
import { devicesChanged, RULED } from './devices.ts';

export const MAX_IMPORT_BYTES = 20 * 1024 * 1024;
const MAX_LINES = 100_000;
const LISTED_ERRORS = 1000;
const BULK = 1000;
const COLUMNS = ['serial_no', 'model', 'group', 'tags'];
const METADATA = 'metadata.';

/** What the parser makes of a file with `info`. */
const csvRecords = z.array(z.object({ record: z.array(z.string()), info: z.object({ lines: z.int() }) }));

interface Line {
  line: number;
  device: ImportedDevice;
}

/** The text of a file. Throws a 422 where it is not UTF-8: guessing would spoil names for good. */
export function textOf(bytes: ArrayBuffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: false }).decode(bytes);
  } catch {
    throw notThat('The file is not UTF-8: save it as "CSV UTF-8".');
  }
}

/**
 * Imports devices. Good lines are written, bad ones change nothing and are reported. Throws a 422 where the file is
 * no CSV, has too many lines, or lacks a column.
 */
export async function importCsv(c: AppContext, text: string, dryRun: boolean): Promise<ImportReport> {
  const { lines, errors } = readDevices(text);
  const report: ImportReport = { created: 0, updated: 0, unchanged: 0, failed: 0, errors };
  const good = await withoutRuled(c, lines, errors);
  for (let at = 0; at < good.length; at += BULK) {
    await importBulk(c, good.slice(at, at + BULK), dryRun, report);
  }
  report.failed = report.errors.length;
  report.errors = report.errors.sort((a, b) => a.line - b.line).slice(0, LISTED_ERRORS);
  if (!dryRun) {
    const { errors: _, ...detail } = report;
    await auditEntry(c.var.db, {
      actor: c.var.principal.actor,
      action: 'device.import',
      subject: 'devices',
      detail,
    });
  }
  return report;
}

/** The lines that put nobody into a group by rule; the others are among the errors. */
async function withoutRuled(
  c: AppContext,
  lines: readonly Line[],
  errors: ImportReport['errors'],
): Promise<Line[]> {
  const rules = await findRules(c.var.db, [...new Set(lines.flatMap(({ device }) => device.group ?? []))]);
  return lines.filter(({ line, device }) => {
    const ruled = rules.has(device.group ?? '');
    if (ruled) errors.push({ line, field: 'group', message: `the group has a rule: ${RULED}` });
    return !ruled;
  });
}

async function importBulk(
  c: AppContext,
  lines: readonly Line[],
  dryRun: boolean,
  report: ImportReport,
): Promise<void> {
  const { created, updated, refused } = await importDevices(
    c.var.db,
    lines.map(({ device }) => device),
    dryRun,
  );
  const other = new Set(refused);
  for (const { line, device } of lines) {
    if (other.has(device.serial_no)) {
      report.errors.push({
        line,
        field: 'model',
        message: 'a device of another model has this serial number',
      });
    }
  }
  report.created += created.length;
  report.updated += updated.length;
  report.unchanged += lines.length - created.length - updated.length - refused.length;
  if (!dryRun) await devicesChanged(c, [...created, ...updated]);
}

/** The devices of a CSV file (RFC 4180, a header first), and what is wrong with its other lines. Throws a 422. */
export function readDevices(text: string): { lines: Line[]; errors: ImportReport['errors'] } {
  const [header, ...records] = readRecords(text);
  if (header === undefined)
    throw notThat('The file is empty: it needs a header line such as "serial_no,model".');
  const columns = header.record.map((name) => name.trim());
  checkHeader(columns);
  if (records.length > MAX_LINES) throw notThat(`At most ${MAX_LINES} devices at a time.`);
  const lines: Line[] = [];
  const errors: ImportReport['errors'] = [];
  const seen = new Map<string, number>();
  for (const { record, line } of records) {
    if (record.length !== columns.length) {
      const message = `${record.length} fields where the header has ${columns.length}`;
      errors.push({ line, field: '', message });
      continue;
    }
    const device = registerDevice.safeParse(deviceOf(columns, record));
    const first = device.success ? seen.get(device.data.serial_no) : undefined;
    if (!device.success) {
      const [issue] = device.error.issues;
      errors.push({ line, field: issue?.path.join('.') ?? '', message: issue?.message ?? 'not a device' });
    } else if (first !== undefined) {
      errors.push({ line, field: 'serial_no', message: `the same serial number as on line ${first}` });
    } else {
      seen.set(device.data.serial_no, line);
      lines.push({ line, device: device.data });
    }
  }
  return { lines, errors };
}

function readRecords(text: string): { record: string[]; line: number }[] {
  try {
    const options = {
      bom: true,
      info: true,
      relax_column_count: true,
      // A quote where none belongs is part of its field, which says what is wrong with its line.
      relax_quotes: true,
      skip_empty_lines: true,
    };
    return csvRecords.parse(parse(text, options)).map(({ record, info }) => ({ record, line: info.lines }));
  } catch (error) {
    if (error instanceof CsvError) throw notThat(`The file is no CSV: ${error.message}.`);
    throw error;
  }
}

function checkHeader(columns: readonly string[]): void {
  for (const needed of ['serial_no', 'model']) {
    if (!columns.includes(needed)) throw notThat(`The header lacks the column "${needed}".`);
  }
  const unknown = columns.find((name) => !COLUMNS.includes(name) && !name.startsWith(METADATA));
  if (unknown !== undefined) {
    throw notThat(`The header has an unknown column: use serial_no, model, group, tags and metadata.….`);
  }
  if (new Set(columns).size !== columns.length) throw notThat('The header names a column twice.');
}

/** One line as the API would be told it; empty fields say nothing. */
function deviceOf(columns: readonly string[], record: readonly string[]): unknown {
  const device: Record<string, unknown> = {};
  const metadata: Record<string, string> = {};
  for (const [i, name] of columns.entries()) {
    const value = record[i]?.trim() ?? '';
    if (value === '') continue;
    if (name === 'tags') device.tags = value.split(';').map((tag) => tag.trim());
    else if (name.startsWith(METADATA)) metadata[name.slice(METADATA.length)] = value;
    else device[name] = value;
  }
  return { ...device, ...(Object.keys(metadata).length === 0 ? {} : { metadata }) };
}

const notThat = (detail: string) => new ProblemError(422, 'Not a list of devices', detail);
