/** Devices from a CSV file: the form, and what came of it. */
import type { ImportReport } from '../protocol/api.ts';
import { count, plural } from './format.ts';

const Result = ({ report, dryRun }: { report: ImportReport; dryRun: boolean }) => (
  <section class="panel">
    <h2>{dryRun ? 'What would happen' : 'What was done'}</h2>
    <p class="notice" data-tone={report.failed === 0 ? 'good' : 'bad'} role="status">
      {count(report.created)} new, {count(report.updated)} changed, {count(report.unchanged)} as they were,{' '}
      {plural(report.failed, 'line')} refused.
      {dryRun ? ' Nothing was written.' : null}
    </p>
    {report.errors.length === 0 ? null : (
      <div class="scroll" tabindex={0} role="region" aria-label="Refused lines">
        <table>
          <thead>
            <tr>
              <th class="number">Line</th>
              <th>Field</th>
              <th>What is wrong</th>
            </tr>
          </thead>
          <tbody>
            {report.errors.map(({ line, field, message }) => (
              <tr>
                <td class="number">{line}</td>
                <td class="mono">{field === '' ? '–' : field}</td>
                <td class="wrap">{message}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    )}
    {report.failed > report.errors.length ? (
      <p class="soft">The first {count(report.errors.length)} refused lines are listed.</p>
    ) : null}
  </section>
);

export const ImportPage = ({
  report,
  dryRun,
  problem,
}: {
  report: ImportReport | undefined;
  dryRun: boolean;
  problem: string | undefined;
}) => (
  <>
    <div class="head">
      <div>
        <h1>Import devices</h1>
        <p class="sub">From a CSV file. Devices that are there already are changed where the file differs.</p>
      </div>
    </div>
    {problem === undefined ? null : (
      <p class="notice" data-tone="bad" role="alert">
        {problem}
      </p>
    )}
    {report === undefined ? null : <Result report={report} dryRun={dryRun} />}
    <section class="panel">
      <form class="stack" method="post" action="/devices/import" enctype="multipart/form-data">
        <div class="field">
          <label for="file">File</label>
          <input
            id="file"
            name="file"
            type="file"
            accept=".csv,text/csv"
            required
            aria-describedby="file-help"
          />
          <small id="file-help">
            The first line names the columns: serial_no and model, and if you like group, tags (separated by
            ;) and metadata.… for anything else.
          </small>
        </div>
        <div class="actions">
          <button class="primary" name="dry_run" value="">
            Import
          </button>
          <button name="dry_run" value="true">
            Only try
          </button>
          <a href="/devices">Back</a>
        </div>
      </form>
    </section>
  </>
);
