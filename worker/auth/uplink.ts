/** Behind which public address a device is, as Cloudflare sees it. */
import { isIP } from 'node:net';

/**
 * The address the request came from; of IPv6 the /64, since a device changes the rest as it likes. `undefined` where
 * nobody says: only Cloudflare's edge sets the header, and overwrites what a client sends.
 */
export function uplinkOf(request: Request): string | undefined {
  const address = request.headers.get('CF-Connecting-IP') ?? '';
  if (isIP(address) === 4) return address;
  return isIP(address) === 6 ? `${network(address)}/64` : undefined;
}

/** The first four groups, written out. */
function network(address: string): string {
  const [head = '', tail] = address.toLowerCase().split('::');
  const groups = head.split(':').filter((group) => group !== '');
  const behind = (tail ?? '').split(':').filter((group) => group !== '');
  // An IPv4 address at the end stands for two groups.
  const length = groups.length + behind.length + (address.includes('.') ? 1 : 0);
  const all = tail === undefined ? groups : [...groups, ...Array(8 - length).fill('0'), ...behind];
  return `${all
    .slice(0, 4)
    .map((group) => group.replace(/^0+(?=.)/, ''))
    .join(':')}::`;
}
