/**
 * Firmware's bytes in R2, by their SHA-256 (lower-case hex). A file of one part lies under its hash itself. Of more
 * parts an empty object lies there, whose metadata say where they were joined: R2 has no rename, and under their
 * hash the bytes would all be written once more. A name is given to verified bytes, and to others only where those are damaged.
 */
import { objectKey } from '../../store/firmware.ts';

/** Where parts are joined; most of what lies here has a name, and the rest are leftovers. */
const JOINED = 'uploads/';

/** Where bytes lie in R2, and how many they are. */
export interface Place {
  key: string;
  size: number;
}

/** A new key to join parts under. */
export const placeToJoin = (): string => `${JOINED}${crypto.randomUUID()}`;

/** Where the bytes with this hash lie; `undefined` where none are named so. */
export async function findBytes(bucket: R2Bucket, sha256: string): Promise<Place | undefined> {
  const name = await bucket.head(objectKey(sha256));
  return name === null ? undefined : placeOf(name);
}

const placeOf = ({ key, size, customMetadata }: R2Object): Place =>
  customMetadata?.at === undefined
    ? { key, size }
    : { key: customMetadata.at, size: Number(customMetadata.size) };

/** Names verified bytes by their hash. What has that name already keeps it, but where it is known to be `damaged`. */
export async function nameBytes(
  bucket: R2Bucket,
  sha256: string,
  { key, size }: Place,
  damaged: boolean,
): Promise<void> {
  const before = damaged ? await findBytes(bucket, sha256) : undefined;
  await bucket.put(objectKey(sha256), '', {
    customMetadata: { at: key, size: String(size) },
    ...(damaged ? {} : { onlyIf: { etagDoesNotMatch: '*' } }),
  });
  if (before !== undefined && ![key, objectKey(sha256)].includes(before.key)) await bucket.delete(before.key);
}

/** Removes bytes and their name. */
export async function deleteBytes(bucket: R2Bucket, sha256: string): Promise<void> {
  const place = await findBytes(bucket, sha256);
  // The name first: what has a name is taken for stored.
  if (place !== undefined) await bucket.delete([objectKey(sha256), place.key]);
}

/** Removes what was joined there, unless it is what has the name. */
export async function dropJoined(bucket: R2Bucket, key: string, sha256: string): Promise<void> {
  if ((await findBytes(bucket, sha256))?.key !== key) await bucket.delete(key);
}

/** Removes what was joined before that moment and has no name: a crash has left it. */
export async function sweepJoined(bucket: R2Bucket, before: Date): Promise<void> {
  const left = new Set<string>();
  for await (const { key, uploaded } of listAll(bucket, JOINED))
    if (uploaded.getTime() < before.getTime()) left.add(key);
  if (left.size === 0) return;
  for await (const name of listAll(bucket, objectKey(''))) left.delete(placeOf(name).key);
  const keys = [...left];
  while (keys.length > 0) await bucket.delete(keys.splice(0, MOST_LISTED));
}

/** What R2 lists, and deletes, in one go. */
const MOST_LISTED = 1000;

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
