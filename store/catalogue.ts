/** The catalogue around firmware: which models there are, what is their latest, and where something is installed. */
import { and, asc, eq, inArray, type SQL, sql } from 'drizzle-orm';
import type { CatalogueModel, Installations } from '../protocol/api.ts';
import { compareVersions, spellings } from '../protocol/version.ts';
import type { Database } from './connection.ts';
import { type FirmwareRow, sameName } from './firmware.ts';
import { allCampaigns, campaignDevices, campaigns, devices, firmware } from './schema.ts';

/** Counting goes no further: a page must not read a million rows. */
const COUNTED = 10_000;
const SAMPLE = 10;

/** Every model there is firmware for, by name. */
export async function listModels(db: Database): Promise<CatalogueModel[]> {
  const rows = await db
    .select({ model: firmware.model, kind: firmware.kind, version: firmware.version, state: firmware.state })
    .from(firmware)
    .orderBy(asc(firmware.model));
  return [...Map.groupBy(rows, (row) => row.model)].map(([model, group]) => ({
    model,
    firmware_count: group.length,
    latest:
      group
        .filter((row) => row.kind === 'firmware' && row.state === 'published')
        .map((row) => row.version)
        .sort(compareVersions)
        .at(-1) ?? null,
  }));
}

type Installable = Pick<FirmwareRow, 'kind' | 'name' | 'model' | 'version'>;

/** Devices that show this firmware, or this app, as their own. */
function installedOn(row: Installable): SQL | undefined {
  const versions = spellings(row.version);
  if (row.kind === 'firmware') {
    return and(eq(devices.model, row.model), inArray(devices.currentFirmware, versions));
  }
  const any = sql`ANY(${sql.param(versions)}::text[])`;
  const shown =
    row.name === null
      ? sql`EXISTS (SELECT FROM jsonb_each_text(${devices.apps}) a WHERE a.value = ${any})`
      : sql`${devices.apps} ->> ${row.name} = ${any}`;
  return and(eq(devices.model, row.model), shown);
}

/** Whether any device runs it. */
export async function isInstalled(db: Database, row: Installable): Promise<boolean> {
  const found = await db.select({ id: devices.id }).from(devices).where(installedOn(row)).limit(1);
  return found.length > 0;
}

/** Where it is installed: how many devices, and the first of them. */
export async function findInstallations(db: Database, row: Installable): Promise<Installations> {
  const all = db
    .select({ serial_no: devices.serialNo })
    .from(devices)
    .where(installedOn(row))
    .limit(COUNTED + 1)
    .as('installed');
  const [counted, sample] = await db.batch([
    db.select({ n: sql<number>`count(*)::int` }).from(all),
    db
      .select({ serial_no: devices.serialNo, status: devices.status })
      .from(devices)
      .where(installedOn(row))
      .orderBy(asc(devices.serialNo))
      .limit(SAMPLE),
  ]);
  const n = counted[0]?.n ?? 0;
  return { count: Math.min(n, COUNTED), more: n > COUNTED, sample };
}

/** Why this firmware must stay, in a sentence; `undefined` where nothing needs it. */
export async function whoNeeds(db: Database, row: FirmwareRow): Promise<string | undefined> {
  const [about, back, installed] = await db.batch([
    db.select({ id: allCampaigns.id }).from(allCampaigns).where(eq(allCampaigns.firmwareId, row.id)).limit(1),
    db
      .select({ id: campaigns.id })
      .from(campaigns)
      .innerJoin(firmware, eq(firmware.id, campaigns.firmwareId))
      .innerJoin(campaignDevices, eq(campaignDevices.campaignId, campaigns.id))
      .where(
        and(
          inArray(campaigns.status, ['scheduled', 'active', 'paused']),
          eq(firmware.model, row.model),
          eq(firmware.kind, row.kind),
          sameName(firmware.name, row.name),
          eq(campaignDevices.fromVersion, row.version),
        ),
      )
      .limit(1),
    db.select({ id: devices.id }).from(devices).where(installedOn(row)).limit(1),
  ]);
  if (about.length > 0) return 'A campaign is about this firmware, so it stays.';
  if (back.length > 0) return 'A campaign under way may have to take devices back to it, so it stays.';
  if (installed.length > 0) return 'Devices run it, so it stays: they may have to be taken back to it.';
  return undefined;
}
