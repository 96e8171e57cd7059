/** Device messages that could not be understood. */
import { Empty, When } from './parts.tsx';

export const RejectedMessages = ({
  messages,
  now,
}: {
  messages: { at: Date; topic: string; reason: string; excerpt: string }[];
  now: Date;
}) => (
  <>
    <div class="head">
      <div>
        <h1>Rejected messages</h1>
        <p class="sub">
          What devices said that could not be understood. It was acknowledged, so it blocks nothing.
        </p>
      </div>
    </div>
    <section class="panel">
      {messages.length === 0 ? (
        <Empty>
          <p>None. Every message was understood.</p>
        </Empty>
      ) : (
        <div class="scroll" tabindex={0} role="region" aria-label="Rejected messages">
          <table>
            <thead>
              <tr>
                <th>When</th>
                <th>Topic</th>
                <th>Reason</th>
                <th>Begins with</th>
              </tr>
            </thead>
            <tbody>
              {messages.map((m) => (
                <tr>
                  <td>
                    <When at={m.at.toISOString()} now={now} />
                  </td>
                  <td class="mono">{m.topic}</td>
                  <td class="wrap">{m.reason}</td>
                  <td class="mono wrap">{m.excerpt}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </section>
  </>
);
