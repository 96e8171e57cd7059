import AxeBuilder from '@axe-core/playwright';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { launchBrowser } from './browser.ts';
import { beat, deliver } from './ingest.ts';
import { publishFirmware } from './publish.ts';
import { eventually, type Skylark, startSkylark } from './skylark.ts';

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
    const steps = page.locator('.timeline li');
    expect(await steps.first().textContent()).toMatch(/^Offered/);
    expect(await steps.last().textContent()).toMatch(/^Completed/);
    await page.getByRole('link', { name: 'The device' }).click();
    await page.getByText('Update completed').waitFor();
  });

  it('shows live why updates fail, with the way to the devices and their timelines', async () => {
    const model = 'FAILS';
    const names = ['FAILS-0', 'FAILS-1'];
    await deliver(
      sky,
      names.map((name) => beat(name, { model, group: 'lab' })),
    );
    const { id: firmware_id } = await publishFirmware(sky, 'v2.0.0', { model });
    const stages = [{ name: 'all', percentage: 100, success_threshold: 0 }];
    const policy = { name: 'Fails', firmware_id, stages, failure_threshold: 100 };
    const id = String((await sky.api('POST', '/campaigns', policy)).body.id);
    await sky.api('POST', `/campaigns/${id}/start`);
    const page = await signedIn();
    await page.goto(`/campaigns/${id}`);
    await page.getByText('under way').waitFor();
    await eventually('both to have their offers', async () => {
      const { items } = (await sky.api('GET', `/campaigns/${id}/devices?status=offered`)).body;
      return (items as unknown[]).length === 2;
    });
    await deliver(
      sky,
      names.map((serial_no) => ({
        serial_no,
        channel: 'status',
        payload: {
          campaign_id: id,
          status: 'failed',
          error: 'no_space',
          timestamp: Math.floor(Date.now() / 1000),
        },
      })),
    );
    await page.getByRole('heading', { name: 'Why updates failed' }).waitFor();
    await page.getByRole('row', { name: 'no_space 2 100 % 100 %' }).waitFor();
    await page.getByRole('row', { name: 'group lab 2 100 % 100 %' }).waitFor();
    await page.getByRole('link', { name: 'no_space' }).click();
    expect(await page.locator('tbody tr').count()).toBe(2);
    await page.getByRole('link', { name: 'FAILS-1' }).click();
    await page.locator('.timeline li[data-tone=bad]', { hasText: 'no_space' }).waitFor();
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

  it('shows who would take part before a campaign is made, of a CSV file too, with scripts and without', async () => {
    await publishFirmware(sky, 'v1.3.0');
    for (const javaScriptEnabled of [true, false]) {
      const page = await signedIn({ javaScriptEnabled });
      await page.goto('/campaigns/new');
      await page.getByLabel('Name').fill('Chosen');
      await page.getByText('Serial numbers, a sample').click();
      const buffer = Buffer.from('serial_no,note\nVD-0001,a\nVD-0003,b\nNO-SUCH,c\n');
      await page.getByLabel('or from a file').setInputFiles({ name: 's.csv', mimeType: 'text/csv', buffer });
      await page.getByRole('button', { name: 'Preview' }).click();
      await page.getByText('2 devices would take part').waitFor();
      await page.getByText('1 of the serial numbers fits no device').waitFor();
      await page.getByText('No device runs this firmware yet').waitFor();
      expect(await page.getByLabel('Name').inputValue()).toBe('Chosen');
      await page.getByRole('button', { name: 'Make the draft' }).click();
      await page.waitForURL(/\/campaigns\/[0-9a-f-]{36}$/);
      await page.getByText('with serial number VD-0001 or VD-0003').waitFor();
    }
  });

  it('takes stages in words, each with its own gate, and says beside them what is wrong', async () => {
    const page = await signedIn({ javaScriptEnabled: false });
    await page.goto('/campaigns/new');
    await page.getByLabel('Name').fill('In words');
    const words = page.getByLabel('stages of your own');
    for (const [wrong, said] of [
      ['10 %, most', '"most" is no stage'],
      ['10 %, 50 %', 'the last stage must reach 100 %'],
      ['10 % at 101 %, 100 %', '<=100'],
    ] as const) {
      await words.fill(wrong);
      await page.getByRole('button', { name: 'Make the draft' }).click();
      await page.locator('#own_stages-wrong').getByText(said).waitFor();
    }
    await words.fill('2 devices after 1 h, 100 % at 90 % manual');
    await page.getByText('When something fails', { exact: true }).click();
    await page.getByLabel('Silence after the update').selectOption('is not looked at');
    await page.getByLabel('that went back').fill('3');
    await page.getByRole('button', { name: 'Make the draft' }).click();
    await page.waitForURL(/\/campaigns\/[0-9a-f-]{36}$/);
    const made = await sky.api('GET', `/campaigns/${page.url().split('/').at(-1)}`);
    expect(made.body).toMatchObject({
      stages: [
        { name: '2 devices', count: 2, min_duration_s: 3600, success_threshold: 95, start: 'automatic' },
        { name: '100 %', percentage: 100, min_duration_s: 0, success_threshold: 90, start: 'manual' },
      ],
      silence_gate: false,
      failure_weights: { rollback: 3, failed: 1 },
    });
  });

  it('changes a campaign, and says beside the field what is wrong', async () => {
    const page = await signedIn({ javaScriptEnabled: false });
    await makeCampaign(page, 'To change');
    await page.getByRole('link', { name: 'Change' }).click();
    await page.getByText('Pace', { exact: true }).click();
    await page.getByLabel('At most a minute').fill('30');
    await page.getByLabel('Begin slowly, at').fill('60');
    await page.getByText('When', { exact: true }).click();
    await page.getByLabel('mon').check();
    await page.getByLabel('From').fill('01:00');
    await page.getByLabel('To', { exact: true }).fill('05:00');
    await page.getByLabel('Time zone').fill('Europe/Berlin');
    await page.getByRole('button', { name: 'Save' }).click();
    await page.getByText('it must begin no faster').waitFor();
    await page.getByLabel('Begin slowly, at').fill('10');
    await page.getByRole('button', { name: 'Save' }).click();
    await page.getByText('30 a minute, from 10 a minute').waitFor();
    await page.getByText('mon 01:00–05:00 Europe/Berlin').waitFor();
    await page.getByRole('link', { name: 'Change' }).click();
    await page.getByRole('button', { name: 'Save' }).click();
    await page.getByText('mon 01:00–05:00 Europe/Berlin').waitFor();
  });

  it('steers a campaign that runs: leaves a device out, opens the next stage, and asks first', async () => {
    const { items } = (await sky.api('GET', '/firmware?version=v1.3.0')).body as { items: { id: string }[] };
    const { body } = await sky.api('POST', '/campaigns', {
      name: 'Steered',
      firmware_id: items[0]?.id,
      stages: [
        { name: 'one', count: 1, min_duration_s: 3600 },
        { name: 'hand', percentage: 70, start: 'manual', min_duration_s: 3600 },
        { name: 'rest', percentage: 100 },
      ],
    });
    const page = await signedIn();
    await page.goto(`/campaigns/${body.id}`);
    await page.getByRole('button', { name: 'Start' }).click();
    await page.getByRole('cell', { name: 'completed' }).waitFor({ timeout: 30_000 });
    const last = page.getByRole('row').filter({ has: page.getByRole('cell', { name: '3', exact: true }) });
    const serial = (await last.first().getByRole('link').textContent()) ?? '';
    await page.locator('#ask-skip > summary').click();
    await page.getByLabel('Serial number').fill(serial);
    await page.getByRole('button', { name: 'Leave out a device' }).click();
    await page.getByText('left out by').waitFor();
    await page.locator('#ask-skip > summary').click();
    await page.getByLabel('Serial number').fill('NO-SUCH');
    await page.getByRole('button', { name: 'Leave out a device' }).click();
    await page.getByText('No device has the serial number NO-SUCH').waitFor();
    await page.goto(`/campaigns/${body.id}`);
    await page.locator('#ask-advance > summary').click();
    await page.getByText('"hand" with 1 device opens now').waitFor();
    await page.getByRole('button', { name: 'Next stage' }).click();
    await page.locator('.rail li[data-state=running]', { hasText: 'hand' }).waitFor();
    await sky.api('POST', `/campaigns/${body.id}/cancel`);
    // What can be done follows what happens, without a reload.
    await page.getByRole('button', { name: 'Pause' }).waitFor({ state: 'detached' });
  });

  it('gives devices that failed with one error another attempt', async () => {
    const model = 'PAGE-RETRY';
    const firmware = await publishFirmware(sky, 'v2.0.0', { model });
    await deliver(sky, [beat('RT-1', { model }), beat('RT-2', { model })]);
    const { body } = await sky.api('POST', '/campaigns', {
      name: 'Retried',
      firmware_id: firmware.id,
      stages: [{ name: 'all', percentage: 100, success_threshold: 0 }],
      failure_threshold: 100,
    });
    await sky.api('POST', `/campaigns/${body.id}/start`);
    const page = await signedIn();
    await page.goto(`/campaigns/${body.id}`);
    await page.getByRole('cell', { name: 'offered' }).nth(1).waitFor();
    await deliver(
      sky,
      ['RT-1', 'RT-2'].map((serial_no, i) => ({
        serial_no,
        channel: 'status',
        payload: {
          campaign_id: body.id,
          status: 'failed',
          error: i === 0 ? 'flash_error' : 'no_space',
          timestamp: Math.floor(Date.now() / 1000),
        },
      })),
    );
    // The button comes by itself.
    await page.locator('#ask-retry > summary').click();
    await page.getByLabel('Which').selectOption('no_space');
    await page.getByRole('button', { name: 'Retry failed' }).click();
    await page
      .getByText('an operator gave it another attempt')
      .or(page.getByRole('cell', { name: 'offered' }))
      .waitFor();
    expect(await page.getByRole('cell', { name: 'failed', exact: true }).count()).toBe(1);
  });

  it('starts and changes a campaign only as it was shown', async () => {
    const model = 'DASH-SEEN';
    const firmware = await publishFirmware(sky, 'v2.0.0', { model });
    const { body: draft } = await sky.api('POST', '/campaigns', { name: 'seen', firmware_id: firmware.id });
    const path = `/campaigns/${draft.id}`;
    const said = (more: object) => sky.api('PUT', path, more);
    const page = await signedIn();
    await page.goto(`${path}/edit`);
    await said({ failure_threshold: 33 });
    await page.getByRole('button', { name: 'Save' }).click();
    await page.getByText('Somebody has changed it since you opened this page').waitFor();
    expect((await sky.api('GET', path)).body.failure_threshold).toBe(33);
    await page.getByLabel('Name').fill('seen again');
    await page.getByRole('button', { name: 'Save' }).click();
    await page.getByRole('heading', { name: 'seen again' }).waitFor();
    await said({ failure_threshold: 100 });
    await page.getByRole('button', { name: 'Start' }).click();
    await page.getByText('Somebody has changed the campaign since you opened this page').waitFor();
    expect((await sky.api('GET', path)).body).toMatchObject({ status: 'draft', failure_threshold: 100 });
    await page.getByRole('button', { name: 'Start' }).click();
    await page.getByText('no device needs this firmware').waitFor();
  });

  it('says what a draft waits for, where a second person has to approve it', async () => {
    const set = async (on: boolean) => {
      const { body } = await sky.api('GET', '/settings');
      await sky.api('PUT', '/settings', { version: body.version, settings: { approve_campaigns: on } });
    };
    await set(true);
    try {
      const page = await signedIn();
      await makeCampaign(page, 'For two');
      await page.getByText('You made or changed it, so somebody else has to approve it').waitFor();
      expect(await page.getByRole('button', { name: /Start|Approve/ }).count()).toBe(0);
      await sky.api('POST', `${new URL(page.url()).pathname}/approve`);
      await page.reload();
      await page.getByText('Approved by key:local').waitFor();
      await page.getByRole('button', { name: 'Start' }).waitFor();
      const { body } = await sky.api('POST', '/campaigns', {
        name: 'By another',
        firmware_id: (await publishFirmware(sky, 'v1.4.0')).id,
      });
      await page.goto(`/campaigns/${body.id}`);
      await page.getByRole('button', { name: 'Approve' }).click();
      await page.getByText('That is you, so somebody else has to start it').waitFor();
      expect(await page.getByRole('button', { name: 'Start' }).count()).toBe(0);
    } finally {
      await set(false);
    }
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

  it('answers what nobody can mean with a page, or with what is expected there', async () => {
    const page = await signedIn();
    const odd = await page.goto('/devices?q=%00');
    expect(odd?.status()).toBe(422);
    await page.getByText('A value cannot be stored or compared as text.').waitFor();
    const serial = ((await sky.api('GET', '/devices?limit=1')).body.items as { serial_no: string }[])[0]
      ?.serial_no;
    expect((await page.request.get(`/live/devices/${serial}`)).status()).toBe(426);
    await page.goto(`/devices/${serial}`);
    await page.getByLabel('Setting', { exact: true }).fill('__proto__');
    await page.getByLabel('New value').fill('1');
    await page.getByRole('button', { name: 'Ask the device' }).click();
    await page.getByText('no setting has this name').waitFor();
  });

  it('says before the start who would take part, and begins live where it is started elsewhere', async () => {
    const { id: firmware_id } = await publishFirmware(sky, 'v1.5.0');
    const { body } = await sky.api('POST', '/campaigns', { name: 'Waits', firmware_id });
    const page = await signedIn();
    await page.goto(`/campaigns/${body.id}`);
    await page.getByText('3 devices would take part').waitFor();
    expect(await page.getByText('0 of 0 devices').count()).toBe(0);
    await page.evaluate("document.body.dataset.marker = 'not reloaded'");
    await sky.api('POST', `/campaigns/${body.id}/start`);
    await page.locator('#campaign-live[data-status=completed]').waitFor({ timeout: 60_000 });
    expect(await page.locator('body').getAttribute('data-marker')).toBe('not reloaded');
    expect(await page.getByText('would take part').count()).toBe(0);
  });

  it('keeps what was typed, and says beside the field what is wrong, in the forms of settings and devices', async () => {
    const page = await signedIn({ javaScriptEnabled: false });
    await page.goto('/settings');
    await page.getByLabel('Offline after').fill('90');
    await page.getByLabel('One a line').fill('new_ui=perhaps');
    await page.getByRole('button', { name: 'Save' }).click();
    await page.getByText('Nothing was changed').waitFor();
    expect(await page.getByLabel('Offline after').inputValue()).toBe('90');
    expect(await page.getByLabel('One a line').inputValue()).toBe('new_ui=perhaps');
    await page.goto('/devices/VD-0001');
    const tags = `fine, ${'x'.repeat(65)}`;
    await page.getByLabel('Tags').fill(tags);
    await page.getByRole('button', { name: 'Save' }).click();
    await page.locator('[id=tags-wrong]').waitFor();
    expect(await page.getByLabel('Tags').inputValue()).toBe(tags);
  });

  it('leads to the sign-in when the session is over, instead of showing it inside the page', async () => {
    const page = await signedIn();
    await page.goto('/');
    await page.context().clearCookies();
    await page.waitForURL('**/sign-in?next=%2F', { timeout: 20_000 });
    await page.getByRole('button', { name: 'Sign in' }).waitFor();
    expect(await page.locator('#tiles').count()).toBe(0);
  });

  it('says that it is no longer live while the connection is lost, and when it is back', async () => {
    const page = await signedIn();
    await page.goto('/');
    await page.context().setOffline(true);
    await page.getByText('The connection is lost').waitFor({ timeout: 20_000 });
    await page.context().setOffline(false);
    await page.getByText('The connection is lost').waitFor({ state: 'hidden', timeout: 20_000 });
    // The browser and htmx say in the console that it was.
    complaints.length = 0;
  });

  it('closes a question with Escape, and goes back to what asked it', async () => {
    const page = await signedIn();
    await page.goto('/devices/VD-0002');
    await page.getByText('Revoke', { exact: true }).first().click();
    await page.getByText('Its certificate stops working at once').waitFor();
    await page.keyboard.press('Escape');
    await page.getByText('Its certificate stops working at once').waitFor({ state: 'hidden' });
    expect(await page.evaluate('document.activeElement.textContent')).toBe('Revoke');
  });

  it('lets people and programs in, shows each secret once, and lets them out', async () => {
    const page = await signedIn({ javaScriptEnabled: false });
    await page.goto('/settings');
    await page.getByRole('link', { name: 'People and API keys' }).click();
    await page.getByLabel('Name').fill('release/ci');
    await page.getByRole('button', { name: 'Make' }).click();
    await page.getByText('a name has 1 to 64 letters').waitFor();
    expect(await page.getByLabel('Name').inputValue()).toBe('release/ci');
    await page.getByLabel('Name').fill('release');
    await page.getByRole('button', { name: 'Make' }).click();
    const key = (await page.locator('.notice code').textContent()) ?? '';
    const ask = () => page.request.get('/api/v1/firmware', { headers: { Authorization: `Bearer ${key}` } });
    expect((await ask()).status()).toBe(200);
    const row = page.getByRole('listitem').filter({ hasText: 'release' });
    await row.locator('summary').click();
    await row.getByRole('button', { name: 'Revoke' }).click();
    expect((await ask()).status()).toBe(401);
    expect(await page.getByText(key).count()).toBe(0);
    await page.getByLabel('Email').fill('viewer@example.com');
    await page.getByLabel('Role', { exact: true }).first().selectOption('viewer');
    await page.getByRole('button', { name: 'Add' }).click();
    const password = (await page.locator('.notice code').textContent()) ?? '';
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByLabel('Email').fill('viewer@example.com');
    await page.getByLabel('Password').fill(password);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByText('Firmware in the field').waitFor();
    expect(await page.getByRole('link', { name: 'New campaign' }).count()).toBe(0);
    await page.getByRole('link', { name: 'viewer@example.com' }).click();
    await page.getByLabel('Current password').fill('not this one');
    await page.getByLabel('New password').fill('quite another one');
    await page.getByRole('button', { name: 'Change' }).click();
    await page.getByText('this is not your password').waitFor();
    await page.getByLabel('Current password').fill(password);
    await page.getByLabel('New password').fill('quite another one');
    await page.getByRole('button', { name: 'Change' }).click();
    await page.getByText('Your password is changed').waitFor();
  });

  it.each([
    ['light', {}],
    ['dark', { colorScheme: 'dark' }],
    ['360 px wide', { viewport: { width: 360, height: 740 } }],
  ])('is accessible and fits, %s', async (_name, options) => {
    const page = await signedIn(options);
    const { items } = (await sky.api('GET', '/campaigns')).body as { items: { id: string; name: string }[] };
    const failed = items.find(({ name }) => name === 'Fails');
    const { id: firmware_id } = await publishFirmware(sky, `v9.0.${Date.now()}`);
    const draft = await sky.api('POST', '/campaigns', { name: 'Rehearsed', firmware_id });
    for (const path of [
      '/',
      '/devices',
      '/devices/VD-0001',
      '/devices/import',
      '/groups',
      '/groups/new',
      '/settings',
      '/settings/access',
      '/settings/audit-log',
      '/account',
      '/firmware',
      '/firmware/new',
      '/campaigns',
      '/campaigns/new',
      `/campaigns/${items[0]?.id}`,
      `/campaigns/${draft.body.id}`,
      `/campaigns/${draft.body.id}/rehearsal?failure_rate=30`,
      `/campaigns/${failed?.id}`,
      `/campaigns/${failed?.id}/devices`,
      `/campaigns/${failed?.id}/devices/FAILS-0`,
      `/campaigns/${items[0]?.id}/edit`,
    ]) {
      expect((await page.goto(path))?.ok()).toBe(true);
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
