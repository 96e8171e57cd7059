import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Pause } from './pause.ts';

describe('collecting heartbeats', () => {
  let flushes = 0;
  let pause: Pause;
  beforeEach(() => {
    vi.useFakeTimers();
    flushes = 0;
    pause = new Pause(() => {
      flushes += 1;
    });
  });
  afterEach(() => {
    pause.end();
    vi.useRealTimers();
  });
  const arrive = (messages: number) => {
    for (let n = 0; n < messages; n += 1) pause.arrived(true);
  };

  it('goes on while more keep coming, and ends when nothing does', () => {
    for (let n = 0; n < 20; n += 1) {
      arrive(1);
      vi.advanceTimersByTime(200);
    }
    expect(flushes).toBe(0);
    vi.advanceTimersByTime(250);
    expect(flushes).toBe(1);
  });

  it('waits only twice for a broker that falls silent at its limit', () => {
    for (let round = 0; round < 2; round += 1) {
      arrive(20);
      expect(flushes).toBe(round);
      vi.advanceTimersByTime(250);
      pause.settled(20);
    }
    arrive(20);
    expect(flushes).toBe(3);
  });

  it('forgets a limit that does not hold', () => {
    for (let round = 0; round < 2; round += 1) {
      arrive(20);
      vi.advanceTimersByTime(250);
      pause.settled(20);
    }
    arrive(21);
    pause.settled(21);
    flushes = 0;
    arrive(20);
    expect(flushes).toBe(0);
  });
});
