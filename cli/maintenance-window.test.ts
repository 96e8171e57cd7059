import { describe, expect, it } from 'vitest';
import { parseWindow } from './maintenance-window.ts';

describe('a maintenance window on the command line', () => {
  it('has days, hours and a time zone, of which only the hours must be said', () => {
    expect(parseWindow('fri-mon,wed 22:00-04:00 Europe/Berlin')).toMatchObject({
      days: ['fri', 'sat', 'sun', 'mon', 'wed'],
      from: '22:00',
      to: '04:00',
      time_zone: 'Europe/Berlin',
    });
    expect(parseWindow('01:00-05:00').days).toBeUndefined();
    expect(parseWindow('daily 01:00-05:00 device').time_zone).toBe('device');
  });

  it.each(['always', 'mon 1-5', 'moonday 01:00-05:00', '01:00-25:00', '01:00-05:00 Mars/Base'])(
    'is refused with a hint where it is none: %s',
    (text) => expect(() => parseWindow(text)).toThrow(/--window/),
  );
});
