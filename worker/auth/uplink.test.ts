import { describe, expect, it } from 'vitest';
import { uplinkOf } from './uplink.ts';

const from = (address: string) =>
  uplinkOf(new Request('https://ota.example', { headers: { 'CF-Connecting-IP': address } }));

describe('the uplink of a device', () => {
  it('is its public address, of IPv6 the network', () => {
    expect(from('203.0.113.7')).toBe('203.0.113.7');
    expect(from('2001:db8:0:5::17')).toBe('2001:db8:0:5::/64');
    expect(from('2001:DB8:0000:0005:1:2:3:4')).toBe('2001:db8:0:5::/64');
    expect(from('2001:db8::1')).toBe('2001:db8:0:0::/64');
  });

  it('is unknown where nobody says, or what is said is no address', () => {
    expect(uplinkOf(new Request('https://ota.example'))).toBeUndefined();
    expect(from('somewhere')).toBeUndefined();
  });
});
