/** Which fleet shard a device lives in. */

/** How many fleet shards there are. A power of two; changing it means moving every device. */
export const SHARD_COUNT = 16;

/**
 * 32-bit FNV-1a over the UTF-16 code units of `text`, finished with MurmurHash3's avalanche step, so that
 * consecutive serial numbers spread evenly. Also the random but stable order of a campaign's members.
 */
export function hash32(text: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < text.length; index += 1) {
    hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

/** The number, 0 to SHARD_COUNT − 1, of the shard that holds the device. */
export const shardOf = (serial: string): number => hash32(serial) & (SHARD_COUNT - 1);
