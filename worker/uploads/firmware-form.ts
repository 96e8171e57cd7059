/** The form that uploads firmware whole, of the API and of the dashboard. Streamed: it is never in memory whole. */
import type { AppContext } from '../context.ts';
import { mostBytes } from '../operations/firmware.ts';
import { ProblemError } from '../problem.ts';
import { BrokenForm, boundaryOf, type FormPart, readForm } from './multipart-form.ts';
import { type ReceivedFile, receiveFile, TooLarge } from './received-file.ts';

const MAX_FIELD_BYTES = 128 * 1024;

export interface FirmwareForm {
  /** What the text fields say; empty ones say nothing. */
  fields: Record<string, string>;
  /** `undefined` where none was sent, or an empty one. */
  file: ReceivedFile | undefined;
}

/** Takes the form in. Whoever calls keeps the file or not, and discards it in the end. Throws the problem. */
export async function receiveFirmwareForm(c: AppContext): Promise<FirmwareForm> {
  const boundary = boundaryOf(c.req.header('Content-Type'));
  const { body } = c.req.raw;
  if (boundary === undefined || body === null) throw notAForm();
  const form: FirmwareForm = { fields: {}, file: undefined };
  try {
    for await (const part of readForm(body, boundary)) await take(c, form, part);
  } catch (error) {
    await form.file?.discard();
    if (error instanceof BrokenForm) throw notAForm();
    if (error instanceof TooLarge) throw tooLarge(await mostBytes(c));
    throw error;
  }
  if (form.file?.size === 0) form.file = undefined;
  return form;
}

async function take(c: AppContext, form: FirmwareForm, part: FormPart): Promise<void> {
  if (part.filename === undefined) {
    const text = await readText(part);
    if (text !== '') form.fields[part.name] = text;
    return;
  }
  if (part.name !== 'file')
    throw new ProblemError(
      422,
      'Unknown file',
      `Send one file, in the field "file": "${part.name}" is none.`,
    );
  // Its name is never used, and whoever sends a path has something else in mind.
  if (/[/\\\0]|^\.\.?$/.test(part.filename))
    throw new ProblemError(422, 'Path in a name', 'The file name may hold no path.');
  if (form.file !== undefined) throw new ProblemError(422, 'Several files', 'Send one file at a time.');
  form.file = await receiveFile(c.env.FIRMWARE, part.body, await mostBytes(c));
}

async function readText({ body }: FormPart): Promise<string> {
  const pieces: Uint8Array[] = [];
  let length = 0;
  for await (const piece of body) {
    pieces.push(piece);
    length += piece.length;
    if (length > MAX_FIELD_BYTES) throw new ProblemError(422, 'Field too long', 'Only the file may be long.');
  }
  return Buffer.concat(pieces).toString('utf8');
}

const notAForm = () =>
  new ProblemError(400, 'Not a form', 'Send multipart/form-data with a field "file", whole.');
const tooLarge = (most: number) =>
  new ProblemError(413, 'Firmware too large', `At most ${most} bytes are allowed here.`);
