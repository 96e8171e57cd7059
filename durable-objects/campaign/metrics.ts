/** A campaign in numbers, as the API, the stream and the page show it. Pure. */
import { type CampaignMetrics, UPDATE_STATES } from '../../protocol/api.ts';
import type { CampaignState } from './definition.ts';
import { type Counts, emptyCounts, successRate, total } from './stages.ts';

/** What the metrics are made of. */
export type Measured = Pick<
  CampaignState,
  'definition' | 'status' | 'stage' | 'stopped_by' | 'closed' | 'counts' | 'errors' | 'started_at'
>;

export function metricsOf(state: Measured): CampaignMetrics {
  const { policy } = state.definition;
  const counts = sum(state.counts);
  const stages = policy.stages.map((stage, index) => {
    const own = state.counts[index] ?? emptyCounts();
    return {
      name: stage.name,
      percentage: stage.percentage ?? null,
      ...(stage.count === undefined ? {} : { count: stage.count }),
      ...(stage.group === undefined ? {} : { group: stage.group }),
      state: stageState(state, index),
      target: total(own),
      counts: own,
    };
  });
  const open = stages[state.stage];
  return {
    target: total(counts),
    counts,
    success_rate: successRate(counts),
    stage: { index: state.stage, name: open?.name ?? '', state: open?.state ?? 'waiting' },
    stages,
    started_at: new Date(state.started_at).toISOString(),
    errors: Object.entries(state.errors)
      .map(([error, count]) => ({ error, count }))
      .sort((a, b) => b.count - a.count),
  };
}

/** Metrics of a campaign that has not begun: all zero. */
export function plannedMetrics(definition: CampaignState['definition']): CampaignMetrics {
  const counts = definition.policy.stages.map(emptyCounts);
  const none = {
    status: 'paused',
    stage: 0,
    stopped_by: null,
    closed: null,
    errors: {},
    started_at: 0,
  } as const;
  const metrics = metricsOf({ ...none, definition, counts });
  const stages = metrics.stages.map((stage) => ({ ...stage, state: 'waiting' as const }));
  return { ...metrics, stages, stage: { ...metrics.stage, state: 'waiting' }, started_at: null };
}

function stageState(state: Measured, index: number): CampaignMetrics['stage']['state'] {
  // Its time was over before this stage had passed.
  if (state.closed?.stage !== undefined && index >= state.closed.stage && index <= state.stage)
    return 'stopped';
  if (index === state.stopped_by && state.status !== 'active' && state.status !== 'completed')
    return 'stopped';
  if (index < state.stage || (state.status === 'completed' && index === state.stage)) return 'passed';
  if (index > state.stage) return 'waiting';
  return state.status === 'active' ? 'running' : 'stopped';
}

function sum(counts: readonly Counts[]): Counts {
  const sums = emptyCounts();
  for (const stage of counts) for (const state of UPDATE_STATES) sums[state] += stage[state];
  return sums;
}
