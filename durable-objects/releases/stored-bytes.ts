/**
 * Firmware's bytes in R2, by their SHA-256 (lower-case hex). A file of one part lies under its hash itself. Of more
 * parts each is an object of its own, written once, and a list of them lies there. R2 could join them; but Miniflare's
 * reads such an object at a ninth of the speed, and holds all of it for a reader that is slow. A name is given to
 * verified bytes, and to others only where those are damaged.
 */
import { z } from 'zod';
import { objectKey } from '../../store/firmware.ts';

/** Where parts are put; most of what lies here belongs to a name, and the rest are leftovers. */
const PARTS = 'uploads/';

/** An object that holds some of the bytes. */
const piece = z.object({ key: z.string(), size: z.int().min(1) });
export type Piece = z.infer<typeof piece>;
const listOfPieces = z.object({ pieces: z.array(piece) });

/** Where bytes lie in R2, in their order, and how many they are. Nowhere, where the list of them is damaged. */
export interface Place {
  size: number;
  pieces: readonly Piece[];
}

/** A new prefix for the parts of one file. */
export const placeForParts = (): string => `${PARTS}${crypto.randomUUID()}`;

/** The prefix under which something was put. */
const ownerOf = (key: string): string => /^[^/]+\/[^/]+/.exec(key)?.[0] ?? key;

/** A new key for a part: nobody writes over one that is there. */
export const partKey = (prefix: string, partNo: number): string =>
  `${prefix}/${partNo}-${crypto.randomUUID()}`;

/** Where the bytes with this hash lie; `undefined` where none are named so. */
export async function findBytes(bucket: R2Bucket, sha256: string): Promise<Place | undefined> {
  const name = await bucket.head(objectKey(sha256));
  return name === null ? undefined : placeOf(bucket, name);
}

async function placeOf(bucket: R2Bucket, { key, size, customMetadata }: R2Object): Promise<Place> {
  if (customMetadata?.at === undefined) return { size, pieces: [{ key, size }] };
  // Joined by R2, as all of several parts once were.
  if (customMetadata.pieces === undefined) {
    const joined = { key: customMetadata.at, size: Number(customMetadata.size) };
    return { size: joined.size, pieces: [joined] };
  }
  const list = await bucket.get(key);
  return {
    size: Number(customMetadata.size),
    pieces: piecesOf(await list?.text(), Number(customMetadata.size)),
  };
}

function piecesOf(text: string | undefined, size: number): Piece[] {
  try {
    const { pieces } = listOfPieces.parse(JSON.parse(text ?? ''));
    return pieces.reduce((sum, one) => sum + one.size, 0) === size ? pieces : [];
  } catch {
    return [];
  }
}

/** Names verified bytes by their hash. What has that name already keeps it, but where it is known to be `damaged`. */
export async function nameBytes(
  bucket: R2Bucket,
  sha256: string,
  { size, pieces }: Place,
  damaged: boolean,
): Promise<void> {
  const before = damaged ? await findBytes(bucket, sha256) : undefined;
  await bucket.put(objectKey(sha256), JSON.stringify({ pieces }), {
    customMetadata: { at: ownerOf(pieces[0]?.key ?? ''), pieces: String(pieces.length), size: String(size) },
    ...(damaged ? {} : { onlyIf: { etagDoesNotMatch: '*' } }),
  });
  const kept = new Set([objectKey(sha256), ...pieces.map(({ key }) => key)]);
  await deleteAll(
    bucket,
    (before?.pieces ?? []).map(({ key }) => key).filter((key) => !kept.has(key)),
  );
}

/** Removes bytes and their name. */
export async function deleteBytes(bucket: R2Bucket, sha256: string): Promise<void> {
  const name = await bucket.head(objectKey(sha256));
  if (name === null) return;
  // The name first: what has a name is taken for stored.
  await bucket.delete(name.key);
  if (name.customMetadata?.at !== undefined) await deleteUnder(bucket, name.customMetadata.at, new Set());
}

/** Removes the parts of one file, but for those that belong to the name. */
export async function dropParts(bucket: R2Bucket, prefix: string, sha256: string): Promise<void> {
  const name = await bucket.head(objectKey(sha256));
  const kept = name?.customMetadata?.at === prefix ? (await placeOf(bucket, name)).pieces : undefined;
  // Whose list is damaged is mended by the same file, and goes when it has another place.
  if (kept?.length === 0) return;
  await deleteUnder(bucket, prefix, new Set(kept?.map(({ key }) => key)));
}

async function deleteUnder(bucket: R2Bucket, prefix: string, kept: ReadonlySet<string>): Promise<void> {
  const left: string[] = [];
  for await (const { key } of listAll(bucket, prefix)) if (!kept.has(key)) left.push(key);
  await deleteAll(bucket, left);
}

/** Removes parts put before that moment under what no name has: a crash has left them. */
export async function sweepParts(bucket: R2Bucket, before: Date): Promise<void> {
  const left = new Map<string, string[]>();
  for await (const { key, uploaded } of listAll(bucket, PARTS)) {
    const owner = ownerOf(key);
    if (uploaded.getTime() < before.getTime()) left.set(owner, [...(left.get(owner) ?? []), key]);
  }
  if (left.size === 0) return;
  for await (const { customMetadata } of listAll(bucket, objectKey('')))
    left.delete(customMetadata?.at ?? '');
  await deleteAll(bucket, [...left.values()].flat());
}

/** What R2 lists, and deletes, in one go. */
const MOST_LISTED = 1000;

async function deleteAll(bucket: R2Bucket, keys: string[]): Promise<void> {
  while (keys.length > 0) await bucket.delete(keys.splice(0, MOST_LISTED));
}

async function* listAll(bucket: R2Bucket, prefix: string): AsyncGenerator<R2Object> {
  for await (const objects of listPages(bucket, prefix)) yield* objects;
}

/** What lies under a prefix, as many at a time as can be deleted in one go. */
export async function* listPages(bucket: R2Bucket, prefix: string): AsyncGenerator<R2Object[]> {
  for (let cursor: string | undefined; ; ) {
    const page = await bucket.list({
      prefix,
      include: ['customMetadata'],
      ...(cursor === undefined ? {} : { cursor }),
    });
    yield page.objects;
    if (!page.truncated) return;
    cursor = page.cursor;
  }
}
