/** Whether the stores answer. */

/** The names of those whose check fails, or has not answered in time: a store that hangs is down, too. */
export async function downOf(
  checks: Record<string, () => Promise<unknown>>,
  withinMs: number,
): Promise<string[]> {
  const results = await Promise.allSettled(
    Object.values(checks).map((check) => Promise.race([check(), late(withinMs)])),
  );
  return Object.keys(checks).filter((_, i) => results[i]?.status === 'rejected');
}

const late = (ms: number) =>
  new Promise((_, reject) => setTimeout(() => reject(new Error(`no answer within ${ms} ms`)), ms));
