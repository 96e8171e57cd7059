import { describe, expect, it } from 'vitest';
import { excessSilence } from './silence.ts';

describe('silence after an update', () => {
  it('is noticed on the very first device, when the rest of the fleet is well', () => {
    for (const devices of [5, 20])
      expect(excessSilence({ devices: 1, silent: 1 }, { devices, silent: 0 })).toBeGreaterThan(0.9);
    expect(excessSilence({ devices: 1, silent: 1 }, { devices: 4, silent: 0 })).toBe(0);
  });

  it('is noticed beyond what is usual, and only the part beyond it counts', () => {
    const excess = excessSilence({ devices: 100, silent: 40 }, { devices: 500, silent: 50 });
    expect(excess).toBeGreaterThan(29);
    expect(excess).toBeLessThan(31);
  });

  it('is no fault of the update where others are as silent', () => {
    expect(excessSilence({ devices: 100, silent: 11 }, { devices: 500, silent: 50 })).toBe(0);
    expect(excessSilence({ devices: 1, silent: 1 }, { devices: 20, silent: 5 })).toBe(0);
  });

  it('says nothing without anybody to compare with', () => {
    expect(excessSilence({ devices: 10, silent: 10 }, { devices: 0, silent: 0 })).toBe(0);
    expect(excessSilence({ devices: 0, silent: 0 }, { devices: 100, silent: 0 })).toBe(0);
  });
});
