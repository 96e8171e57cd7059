/** Who may come in: people, API keys, and one's own password. */
import { type ApiKey, ROLES, type User } from '../protocol/api.ts';
import { Ask, AskFirst, Empty, Field, type FieldErrors, Moment } from './parts.tsx';

const MEANINGS =
  'viewer: sees everything. operator: runs campaigns, devices and firmware. ci: only uploads and publishes firmware. admin: everything.';

export interface AccessData {
  users: User[];
  keys: ApiKey[];
  /** The email of whoever looks at it. */
  me: string;
  /** What is shown this once. */
  secret?: { of: string; value: string } | undefined;
  problem?: string | undefined;
  /** The form that was wrong, as it was sent. */
  sent?: { form: 'user' | 'key'; values: Record<string, string>; errors: FieldErrors } | undefined;
}

/** `id` tells the two of the page apart. */
const RoleChoice = ({ id, chosen }: { id: string; chosen: string }) => (
  <div class="field">
    <label for={id}>Role</label>
    <select id={id} name="role" aria-describedby={`${id}-help`}>
      {ROLES.map((role) => (
        <option value={role} selected={chosen === role}>
          {role}
        </option>
      ))}
    </select>
    <small id={`${id}-help`}>{MEANINGS}</small>
  </div>
);

const Person = ({ user, me }: { user: User; me: string }) => {
  const to = `/settings/access/users/${user.id}`;
  return (
    <li>
      <div>
        <b>{user.email}</b> {user.email === me ? <span class="soft">(you)</span> : null}
        <div class="soft">
          {user.role}, since <Moment at={user.created_at} />
        </div>
      </div>
      <div class="actions">
        <Ask to={`${to}/role`} label="Role" question="It holds at once.">
          <div class="field">
            <label for={`role-${user.id}`}>Role of {user.email}</label>
            <select id={`role-${user.id}`} name="role">
              {ROLES.map((role) => (
                <option value={role} selected={user.role === role}>
                  {role}
                </option>
              ))}
            </select>
          </div>
        </Ask>
        <Ask
          to={`${to}/password`}
          label="New password"
          question={`One is made up and shown once. ${user.email} is signed out everywhere.`}
        />
        <AskFirst
          to={`${to}/delete`}
          label="Remove"
          question={`${user.email} is signed out and gets in no longer. What they did stays on record.`}
        />
      </div>
    </li>
  );
};

const People = ({ users, me, sent }: AccessData) => {
  const mine = sent?.form === 'user' ? sent : undefined;
  return (
    <section class="panel">
      <h2>People</h2>
      <ul class="rows">
        {users.map((user) => (
          <Person user={user} me={me} />
        ))}
      </ul>
      <h2>Let somebody in</h2>
      <form class="stack" method="post" action="/settings/access/users">
        <div class="pair">
          <Field name="email" label="Email" errors={mine?.errors}>
            {(attributes) => (
              <input {...attributes} type="email" required maxlength={320} value={mine?.values.email ?? ''} />
            )}
          </Field>
          <RoleChoice id="user-role" chosen={mine?.values.role ?? 'operator'} />
        </div>
        <div class="actions">
          <button>Add</button>
          <span class="soft">A password is made up and shown once.</span>
        </div>
      </form>
    </section>
  );
};

const Keys = ({ keys, sent }: AccessData) => {
  const mine = sent?.form === 'key' ? sent : undefined;
  return (
    <section class="panel">
      <h2>API keys</h2>
      {keys.length === 0 ? (
        <Empty>
          <p>None yet. CI and scripts come in with one.</p>
        </Empty>
      ) : (
        <ul class="rows">
          {keys.map((key) => (
            <li>
              <div>
                <b>{key.name}</b>{' '}
                {key.revoked_at === null ? null : (
                  <span class="badge" data-tone="bad">
                    revoked
                  </span>
                )}
                <div class="soft">
                  {key.role}, <span class="mono">sky_{key.id}_…</span>, made <Moment at={key.created_at} />
                  {key.revoked_at === null ? null : (
                    <>
                      , revoked <Moment at={key.revoked_at} />
                    </>
                  )}
                </div>
              </div>
              {key.revoked_at === null ? (
                <div class="actions">
                  <AskFirst
                    to={`/settings/access/keys/${key.id}/revoke`}
                    label="Revoke"
                    question={`Whatever comes in with “${key.name}” gets in no longer, at once.`}
                  />
                </div>
              ) : null}
            </li>
          ))}
        </ul>
      )}
      <h2>Make a key</h2>
      <form class="stack" method="post" action="/settings/access/keys">
        <div class="pair">
          <Field
            name="name"
            label="Name"
            help="What it does is on record by this name."
            errors={mine?.errors}
          >
            {(attributes) => (
              <input
                {...attributes}
                required
                maxlength={64}
                value={mine?.values.name ?? ''}
                autocomplete="off"
              />
            )}
          </Field>
          <RoleChoice id="key-role" chosen={mine?.values.role ?? 'ci'} />
        </div>
        <div class="actions">
          <button>Make</button>
          <span class="soft">The key is shown once.</span>
        </div>
      </form>
    </section>
  );
};

export const AccessPage = (data: AccessData) => (
  <>
    <div class="head">
      <div>
        <h1>People and API keys</h1>
        <p class="sub">
          <a href="/settings">Settings</a>: who may come in, and what they may do.
        </p>
      </div>
    </div>
    {data.problem === undefined ? null : (
      <p class="notice" data-tone="bad" role="alert">
        {data.problem}
      </p>
    )}
    {data.secret === undefined ? null : (
      <div class="notice" data-tone="good" role="status">
        <p>{data.secret.of}. Copy it now: it is shown this once.</p>
        <pre>
          <code>{data.secret.value}</code>
        </pre>
      </div>
    )}
    <People {...data} />
    <Keys {...data} />
  </>
);

export const AccountPage = ({
  email,
  errors,
  saved,
}: {
  email: string;
  errors: FieldErrors | undefined;
  saved: boolean;
}) => (
  <>
    <div class="head">
      <div>
        <h1>Your account</h1>
        <p class="sub">{email}</p>
      </div>
    </div>
    {saved ? (
      <p class="notice" data-tone="good" role="status">
        Your password is changed. You are signed out everywhere else.
      </p>
    ) : null}
    <section class="panel">
      <h2>Change your password</h2>
      <form class="stack" method="post" action="/account">
        {(
          [
            ['current', 'Current password', 'current-password'],
            ['password', 'New password', 'new-password'],
          ] as const
        ).map(([name, label, autocomplete]) => (
          <Field
            name={name}
            label={label}
            errors={errors}
            {...(name === 'password' ? { help: 'At least 12 characters.' } : {})}
          >
            {(attributes) => (
              <input
                {...attributes}
                type="password"
                required
                {...(name === 'password' ? { minlength: 12 } : {})}
                autocomplete={autocomplete}
              />
            )}
          </Field>
        ))}
        <div class="actions">
          <button class="primary">Change</button>
        </div>
      </form>
    </section>
  </>
);
