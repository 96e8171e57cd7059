import AxeBuilder from '@axe-core/playwright';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { launchBrowser } from './browser.ts';
import { publishFirmware } from './publish.ts';
import { type Skylark, startSkylark } from './skylark.ts';

let sky: Skylark;
let browser: Browser;
const contexts: BrowserContext[] = [];
const complaints: string[] = [];

async function signedIn(options: object = {}): Promise<Page> {
  const context = await browser.newContext({ baseURL: sky.facts.url, ...options });
  contexts.push(context);
  const page = await context.newPage();
  // A policy that is violated, or a script that fails, is told here.
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type()) && !message.text().includes('status of 4'))
      complaints.push(message.text());
  });
  page.on('pageerror', (error) => complaints.push(String(error)));
  await page.goto('/devices');
  await page.getByLabel('Email').fill(sky.facts.admin.email);
  await page.getByLabel('Password').fill(sky.facts.admin.password);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.waitForURL('**/devices');
  return page;
}

async function makeCampaign(page: Page, name: string): Promise<void> {
  await page.goto('/campaigns/new');
  await page.getByLabel('Name').fill(name);
  await page.getByLabel('Plan').selectOption('10,50,100');
  await page.getByRole('button', { name: 'Make the draft' }).click();
  await page.waitForURL(/\/campaigns\/[0-9a-f-]{36}$/);
}

describe('the dashboard in a real browser', () => {
  beforeAll(async () => {
    sky = await startSkylark({ devices: 3 });
    browser = await launchBrowser();
    await publishFirmware(sky, 'v1.1.0', { size: 2_000_000 });
  });
  afterEach(async () => {
    for (const context of contexts.splice(0)) await context.close();
    expect(complaints.splice(0)).toEqual([]);
  });
  afterAll(async () => {
    await browser.close();
    await sky.stop();
  });

  it('shows a campaign live, from its start to its end, without a reload', async () => {
    const page = await signedIn();
    await makeCampaign(page, 'Live');
    await page.getByRole('button', { name: 'Start' }).click();
    await page.evaluate("document.body.dataset.marker = 'not reloaded'");
    await page.locator('#campaign-live[data-status=completed]').waitFor({ timeout: 60_000 });
    expect(await page.locator('body').getAttribute('data-marker')).toBe('not reloaded');
    expect(await page.locator('.rail li[data-state=passed]').count()).toBe(3);
    await page.getByRole('link', { name: 'VD-0001' }).click();
    await page.getByText('Update completed').waitFor();
  });

  it('works without scripts: sign in, find, make, start, cancel, upload', async () => {
    await publishFirmware(sky, 'v1.2.0');
    const page = await signedIn({ javaScriptEnabled: false });
    await page.getByLabel('Serial number begins with').fill('VD-0002');
    await page.getByRole('button', { name: 'Filter' }).click();
    expect(await page.locator('tbody tr').count()).toBe(1);
    await makeCampaign(page, 'By hand');
    await page.getByText('Cancel', { exact: true }).first().click();
    await page.getByRole('button', { name: 'Cancel' }).click();
    await page.locator('[data-status=cancelled]').waitFor();
    await page.goto('/firmware/new');
    await page.getByLabel('File').setInputFiles({
      name: 'a.bin',
      mimeType: 'application/octet-stream',
      buffer: Buffer.from('firmware'),
    });
    await page.getByLabel('Model').fill('TX-7');
    await page.getByLabel('Version', { exact: true }).fill('v0.1.0');
    await page.getByRole('button', { name: 'Upload' }).click();
    await page.getByText('Sign it to publish it').waitFor();
  });

  it('uploads with scripts too, and says beside the field what is wrong', async () => {
    const page = await signedIn();
    await page.goto('/firmware/new');
    const file = {
      name: 'a.bin',
      mimeType: 'application/octet-stream',
      buffer: Buffer.from('other firmware'),
    };
    await page.getByLabel('File').setInputFiles(file);
    await page.getByLabel('Model').fill('TX/7');
    await page.getByLabel('Version', { exact: true }).fill('v0.2.0');
    await page.getByRole('button', { name: 'Upload' }).click();
    await page.getByText('a model is 1 to 64 characters').waitFor();
    await page.getByLabel('File').setInputFiles(file);
    await page.getByLabel('Model').fill('TX-7');
    await page.getByRole('button', { name: 'Upload' }).click();
    await page.getByText('Sign it to publish it').waitFor();
  });

  it('says that a file is too large, before it is sent and after', async () => {
    const limited = async (max_firmware_bytes: number) => {
      const { version } = (await sky.api('GET', '/settings')).body;
      await sky.api('PUT', '/settings', { version, settings: { max_firmware_bytes } });
    };
    const page = await signedIn();
    await page.goto('/firmware/new');
    const unlimited = Number(await page.getByLabel('File').getAttribute('data-max-bytes'));
    const buffer = Buffer.alloc(2_000_000);
    const file = { name: 'a.bin', mimeType: 'application/octet-stream', buffer };
    await page.getByLabel('File').setInputFiles(file);
    await page.getByLabel('Model').fill('TX-7');
    await page.getByLabel('Version', { exact: true }).fill('v0.3.0');
    // Allowed when the page was made.
    await limited(1_000_000);
    await page.getByRole('button', { name: 'Upload' }).click();
    await page.getByText('At most 1000000 bytes are allowed here.').waitFor();
    await page.getByLabel('File').setInputFiles(file);
    const said = await page.getByLabel('File').evaluate((input) => Reflect.get(input, 'validationMessage'));
    expect(said).toMatch(/too large/);
    await limited(unlimited);
  });

  it('shows what a hostile device calls itself as text', async () => {
    const name = '<img src=x onerror=alert(1) hx-get=/sign-out hx-trigger=load>';
    await sky.api('PUT', '/devices/VD-0001', { group: name, tags: [name] });
    const page = await signedIn();
    await page.goto('/devices/VD-0001');
    expect(await page.getByText(name).count()).toBe(2);
    expect(await page.locator('img').count()).toBe(0);
  });

  it('refuses forms that come from elsewhere, and forgets who signed out', async () => {
    const page = await signedIn();
    const forged = await page.request.post('/sign-out', { headers: { Origin: 'https://evil.example' } });
    expect(forged.status()).toBe(403);
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.waitForURL('**/sign-in');
    await page.goto('/');
    expect(new URL(page.url()).pathname).toBe('/sign-in');
  });

  it.each([
    ['light', {}],
    ['dark', { colorScheme: 'dark' }],
    ['360 px wide', { viewport: { width: 360, height: 740 } }],
  ])('is accessible and fits, %s', async (_name, options) => {
    const page = await signedIn(options);
    const { items } = (await sky.api('GET', '/campaigns')).body as { items: { id: string }[] };
    for (const path of [
      '/',
      '/devices',
      '/devices/VD-0001',
      '/devices/import',
      '/groups',
      '/groups/new',
      '/settings',
      '/firmware',
      '/firmware/new',
      '/campaigns',
      '/campaigns/new',
      `/campaigns/${items[0]?.id}`,
    ]) {
      await page.goto(path);
      const { violations } = await new AxeBuilder({ page })
        .withTags(['wcag2a', 'wcag2aa', 'wcag21aa', 'wcag22aa'])
        .analyze();
      expect([path, violations.map((v) => `${v.id}: ${v.nodes[0]?.html}`)]).toEqual([path, []]);
      expect([path, await page.evaluate('document.documentElement.scrollWidth > innerWidth')]).toEqual([
        path,
        false,
      ]);
    }
  });
});
