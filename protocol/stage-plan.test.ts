import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseStagePlan } from './stage-plan.ts';

describe('stages as people write them', () => {
  it('are shares, counts and groups, each with its own gate and start where that is said', () => {
    expect(parseStagePlan('1 device after 1 h, group beta at 98 %, 10, 50% manual, 100 %')).toEqual([
      { name: '1 device', count: 1, min_duration_s: 3600 },
      { name: 'beta', group: 'beta', success_threshold: 98 },
      { name: '10 %', percentage: 10 },
      { name: '50 %', percentage: 50, start: 'manual' },
      { name: '100 %', percentage: 100 },
    ]);
    expect(parseStagePlan('group "north, hall 2" after 1.5min at 90 manual,100')).toEqual([
      {
        name: 'north, hall 2',
        group: 'north, hall 2',
        min_duration_s: 90,
        success_threshold: 90,
        start: 'manual',
      },
      { name: '100 %', percentage: 100 },
    ]);
    expect(parseStagePlan('1,10,50,100').map(({ percentage }) => percentage)).toEqual([1, 10, 50, 100]);
    const times = parseStagePlan('1 after 1 h 30 min, 10 after 1d12h manual, 50 after 1 min 1 s at 90, 100');
    expect(times.map(({ min_duration_s }) => min_duration_s)).toEqual([5400, 129_600, 61, undefined]);
    expect(parseStagePlan('12 Devices After 2 D, 0.5')).toEqual([
      { name: '12 devices', count: 12, min_duration_s: 172_800 },
      { name: '0.5 %', percentage: 0.5 },
    ]);
  });

  it('are refused with what is wrong where they are none', () => {
    for (const [wrong, what] of [
      ['', '"" is no stage'],
      ['10,,100', '"" is no stage'],
      ['ten', '"ten" is no stage'],
      ['10 %, all', '"all" is no stage'],
      ['1.5 devices', '"devices" says nothing'],
      ['10 after 2', '"after 2" says nothing'],
      ['10 after 2 h 3', '"3" says nothing'],
      ['10 after2 h', '"after2 h" says nothing'],
      ['10 after 2 h manually', '"manually" says nothing'],
      ['10devicesx', '"10devicesx" is no stage'],
      ['group', '"group" is no stage'],
      ['1,5 %, 100 %', '"1,5 %" can be one number or two'],
      ['10 % at 99,5 %, 100 %', '"99,5 %" can be one number or two'],
      ['10 % after 1,5 h, 100', '"1,5 h" can be one number or two'],
      ['1,500 devices, 100 %', '"1,500 devices" can be one number or two'],
      ['10 % at 98 at 99', 'says "at 99" where that was said before'],
      ['10 % manual after 1 h manual', 'says "manual" where that was said before'],
    ] as const)
      expect(() => parseStagePlan(wrong), wrong).toThrow(what);
  });

  it('are either understood as a list of stages or refused, whatever is written', () => {
    const word = fc.constantFrom(
      '10',
      '%',
      ' ',
      'device',
      'group',
      '"',
      'a',
      ',',
      'after',
      'h',
      'at',
      'manual',
      '0',
      '-1',
    );
    fc.assert(
      fc.property(fc.array(word, { maxLength: 12 }), (words) => {
        try {
          for (const { percentage, count, group } of parseStagePlan(words.join('')))
            expect([percentage, count, group].filter((said) => said !== undefined)).toHaveLength(1);
        } catch (error) {
          expect(error).toBeInstanceOf(RangeError);
        }
      }),
    );
  });
});
