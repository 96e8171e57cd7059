/** The key that signs snapshot and timestamp. It can make nothing installable: targets are signed elsewhere. */
import { keyIdOf, type PublicKey, type Signature, toHex } from '../../protocol/tuf.ts';

export interface OnlineKey {
  id: string;
  sign(bytes: Uint8Array<ArrayBuffer>): Promise<Signature>;
}

/** Reads an Ed25519 private key, PKCS#8 PEM. Throws where it is none. */
export async function openOnlineKey(pem: string): Promise<OnlineKey> {
  const der = Buffer.from(pem.replace(/-----[^-]+-----/g, ''), 'base64');
  const key = await crypto.subtle.importKey('pkcs8', der, 'Ed25519', true, ['sign']);
  const jwk = await crypto.subtle.exportKey('jwk', key);
  if (!('x' in jwk) || jwk.x === undefined) throw new Error('TUF_ONLINE_KEY is not an Ed25519 private key');
  const own: PublicKey = {
    keytype: 'ed25519',
    scheme: 'ed25519',
    keyval: { public: toHex(Buffer.from(jwk.x, 'base64url')) },
  };
  const id = await keyIdOf(own);
  return {
    id,
    sign: async (bytes) => ({
      keyid: id,
      sig: toHex(new Uint8Array(await crypto.subtle.sign('Ed25519', key, bytes))),
    }),
  };
}
