import { describe, expect, it } from 'vitest';
import { serialNosOf } from './serial-list.ts';

describe('a list of serial numbers', () => {
  it('is taken from the column of a table that is named so', () => {
    const csv = '\u{feff}model,serial_no,note\r\nTX-100,A-1,"left, upper"\r\n\r\nTX-100,"A-2",\r\n';
    expect(serialNosOf(csv)).toEqual(['A-1', 'A-2']);
    expect(serialNosOf('serial_no;group\nA-1;lab\nA-2;lab')).toEqual(['A-1', 'A-2']);
  });

  it('is taken as it stands otherwise, each number once', () => {
    expect(serialNosOf('A-1, A-2\nA-1\tA-3\n')).toEqual(['A-1', 'A-2', 'A-3']);
    expect(serialNosOf('A-1, A-2\nA-3')).toEqual(['A-1', 'A-2', 'A-3']);
    expect(serialNosOf('')).toEqual([]);
  });

  it('is refused as a table that does not say which column it is', () => {
    expect(serialNosOf('Serial_No,qty\nA-1,1')).toEqual(['A-1']);
    expect(() => serialNosOf('name,qty\nA-1,1\nA-2,5')).toThrow('without a column "serial_no"');
  });
});
