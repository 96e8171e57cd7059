/** What an operator may do to a campaign right now. What cannot be undone asks first. */
import type { CampaignMetrics, CampaignStatus } from '../protocol/api.ts';
import { count, plural } from './format.ts';
import { Action, Ask } from './parts.tsx';

export interface ActionsData {
  id: string;
  status: CampaignStatus;
  metrics: CampaignMetrics;
  /** What a draft waits for before it may be started. */
  approval?: Approval | undefined;
}

export interface Approval {
  /** The settings ask for it. */
  needed: boolean;
  approved_by: string | null;
  /** Stands for the campaign as it is shown. */
  seen: string;
  /** Who looks at it made or changed it, or has approved it. */
  mine: boolean;
  approvedByMe: boolean;
}

const Draft = ({ to, approval }: { to: string; approval: Approval | undefined }) => {
  const needed = approval?.needed === true;
  const waits = needed && approval.approved_by === null;
  return (
    <>
      {waits && !approval.mine ? (
        <Action to={`${to}/approve`} kind="primary" seen={approval.seen}>
          Approve
        </Action>
      ) : null}
      {waits || (needed && approval.approvedByMe) ? null : (
        <Action to={`${to}/start`} kind="primary" seen={approval?.seen}>
          Start
        </Action>
      )}
    </>
  );
};

const Retry = ({ to, metrics }: { to: string; metrics: CampaignMetrics }) => {
  const failed = metrics.counts.failed + metrics.counts.rollback;
  if (failed === 0) return null;
  return (
    <Ask
      to={`${to}/retry`}
      id="ask-retry"
      label="Retry failed"
      question="These devices are offered the update once more, within the pace and the open stage."
    >
      <div class="field">
        <label for="retry-error">Which</label>
        <select id="retry-error" name="error">
          <option value="">all that failed ({count(failed)})</option>
          {metrics.errors.map(({ error, count: n }) => (
            <option value={error}>
              {error} ({count(n)})
            </option>
          ))}
        </select>
      </div>
    </Ask>
  );
};

const Skip = ({ to }: { to: string }) => (
  <Ask
    to={`${to}/skip`}
    id="ask-skip"
    label="Leave out a device"
    question="It is not updated by this campaign. Only a device that has not begun can be left out."
  >
    <div class="field">
      <label for="skip-serial">Serial number</label>
      <input id="skip-serial" name="serial_no" required maxlength={64} autocomplete="off" />
    </div>
  </Ask>
);

/** Everything that can be done, in the order it is needed. */
export const CampaignActions = ({ id, status, metrics, approval }: ActionsData) => {
  const to = `/campaigns/${id}`;
  const runs = status === 'active' || status === 'paused';
  const open = runs || status === 'draft' || status === 'scheduled';
  const next = metrics.stages[metrics.stage.index + 1];
  return (
    <div class="actions" id="campaign-actions">
      {status === 'draft' ? <Draft to={to} approval={approval} /> : null}
      {status === 'active' ? <Action to={`${to}/pause`}>Pause</Action> : null}
      {status === 'paused' ? (
        <Action to={`${to}/resume`} kind="primary">
          Resume
        </Action>
      ) : null}
      {status === 'active' && next !== undefined ? (
        <Ask
          to={`${to}/advance`}
          id="ask-advance"
          label="Next stage"
          question={`"${next.name}" with ${plural(next.target, 'device')} opens now, whatever the gate of this stage says.`}
        >
          <input type="hidden" name="stage" value={metrics.stage.index} />
        </Ask>
      ) : null}
      {runs || status === 'completed' ? <Retry to={to} metrics={metrics} /> : null}
      {runs ? <Skip to={to} /> : null}
      {open && !runs ? (
        <a class="button" href={`${to}/rehearsal`}>
          Rehearse
        </a>
      ) : null}
      {open ? (
        <a class="button" href={`${to}/edit`}>
          Change
        </a>
      ) : null}
      {open ? (
        <Ask
          to={`${to}/cancel`}
          id="ask-cancel"
          label="Cancel"
          danger
          question="No further device starts. Devices that are updating right now finish. This cannot be undone."
        />
      ) : null}
    </div>
  );
};

/** What a draft waits for, in a sentence. */
export const ApprovalNotice = ({ approval }: { approval: Approval | undefined }) => {
  if (approval?.needed !== true) return null;
  const { approved_by: by, mine, approvedByMe } = approval;
  const words =
    by === null
      ? `The settings ask for approval by a second person before it starts.${mine ? ' You made or changed it, so somebody else has to approve it.' : ''}`
      : `Approved by ${by}.${approvedByMe ? ' That is you, so somebody else has to start it.' : ''}`;
  return (
    <p class="notice" data-tone={by === null ? 'busy' : 'good'}>
      {words}
    </p>
  );
};
