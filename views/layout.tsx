/** The frame around every page. */

import { html } from 'hono/html';
import type { Child } from 'hono/jsx';
import type { Role } from '../protocol/api.ts';
import { FAVICON, SCRIPT, STYLE } from './assets/generated/manifest.ts';

export interface Viewer {
  email: string;
  role: Role;
}

const SECTIONS = [
  ['/', 'Overview'],
  ['/devices', 'Devices'],
  ['/groups', 'Groups'],
  ['/firmware', 'Firmware'],
  ['/campaigns', 'Campaigns'],
  ['/settings', 'Settings'],
] as const;

const Document = ({ title, children }: { title: string; children: Child }) => (
  <html lang="en">
    <head>
      <meta charset="utf-8" />
      <meta name="viewport" content="width=device-width, initial-scale=1" />
      <meta
        name="htmx-config"
        content='{"includeIndicatorCSS":false,"historyCache":false,"morphSkip":"details.ask[open]"}'
      />
      <title>{title} · Skylark</title>
      <link rel="icon" href={FAVICON} type="image/svg+xml" />
      <link rel="stylesheet" href={STYLE} />
      <script src={SCRIPT} defer />
    </head>
    <body>{children}</body>
  </html>
);

const Bird = () => (
  <svg viewBox="0 0 32 32" aria-hidden="true">
    <rect width="32" height="32" rx="8" fill="currentColor" />
    <path d="M6 20c5 0 7-3 10-8 2 4 5 6 10 6-4 1-6 2-8 5-2-3-6-4-12-3z" fill="#fff" />
  </svg>
);

/** A whole page, with the navigation for somebody who is signed in. */
export function page(title: string, viewer: Viewer, path: string, content: Child) {
  return html`<!doctype html>${(
    <Document title={title}>
      <a class="skip" href="#content">
        Skip to the content
      </a>
      <div class="shell">
        <header class="side">
          <a class="brand" href="/">
            <Bird />
            Skylark
          </a>
          <nav aria-label="Sections">
            {SECTIONS.map(([to, name]) => {
              const here = to === '/' ? path === '/' : path.startsWith(to);
              return (
                <a href={to} {...(here ? { 'aria-current': 'page' } : {})}>
                  {name}
                </a>
              );
            })}
          </nav>
          <div class="who">
            <span>
              <a href="/account">{viewer.email}</a> ({viewer.role})
            </span>
            <form method="post" action="/sign-out">
              <button class="plain">Sign out</button>
            </form>
          </div>
        </header>
        <main id="content">{content}</main>
        <p id="line-lost" class="notice" data-tone="bad" role="status" hidden>
          The connection is lost: what you see may be old. It is tried again.
        </p>
      </div>
    </Document>
  )}`;
}

/** The page for somebody who is not signed in. */
export function signInPage(problem: string | undefined, email: string, next: string) {
  return html`<!doctype html>${(
    <Document title="Sign in">
      <div class="sign-in">
        <main>
          <div class="head">
            <span class="brand">
              <Bird />
              Skylark
            </span>
          </div>
          <section class="panel">
            <h1>Sign in</h1>
            <p class="soft">Over-the-air updates for your fleet.</p>
            {problem === undefined ? null : (
              <p class="notice" data-tone="bad" role="alert">
                {problem}
              </p>
            )}
            <form class="stack" method="post" action="/sign-in">
              <input type="hidden" name="next" value={next} />
              <div class="field">
                <label for="email">Email</label>
                <input id="email" name="email" type="email" autocomplete="username" required value={email} />
              </div>
              <div class="field">
                <label for="password">Password</label>
                <input
                  id="password"
                  name="password"
                  type="password"
                  autocomplete="current-password"
                  required
                />
              </div>
              <button class="primary">Sign in</button>
            </form>
          </section>
        </main>
      </div>
    </Document>
  )}`;
}

/** What went wrong, and the way out. */
export function errorPage(title: string, detail: string) {
  return html`<!doctype html>${(
    <Document title={title}>
      <div class="sign-in">
        <main>
          <section class="panel">
            <h1>{title}</h1>
            <p>{detail}</p>
            <p>
              <a href="/">To the overview</a>
            </p>
          </section>
        </main>
      </div>
    </Document>
  )}`;
}
