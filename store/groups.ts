/** Groups of devices: static ones are what devices' `group` says, others have a rule. */
import { and, arrayOverlaps, asc, eq, gt, gte, inArray, isNull, lt, or, type SQL, sql } from 'drizzle-orm';
import type { Group, GroupRule, Page, Paging } from '../protocol/api.ts';
import { inRange, parseVersionRange } from '../protocol/version.ts';
import type { Database } from './connection.ts';
import { nameKey, pageOf, readCursor } from './page.ts';
import { campaigns, deviceGroups, devices } from './schema.ts';

type GroupRow = typeof deviceGroups.$inferSelect;

const groupOf = ({ name, description, rule }: Pick<GroupRow, 'name' | 'description' | 'rule'>): Group => ({
  name,
  kind: rule === null ? 'static' : 'rule',
  description,
  rule,
});

/** A page of groups by name: those that were made, and those that exist because a device says so. */
export async function listGroups(db: Database, paging: Paging): Promise<Page<Group>> {
  const after = readCursor(paging.cursor, nameKey)?.[0] ?? '';
  const limit = paging.limit + 1;
  const [made, said] = await db.batch([
    db
      .select()
      .from(deviceGroups)
      .where(gt(deviceGroups.name, after))
      .orderBy(asc(deviceGroups.name))
      .limit(limit),
    // Jumps from name to name along the index, however many devices a group has.
    db.execute<{ name: string }>(sql`
      WITH RECURSIVE said(name) AS (
        (SELECT group_name FROM devices WHERE group_name COLLATE "C" > ${after}
         ORDER BY group_name COLLATE "C" LIMIT 1)
        UNION ALL
        SELECT (SELECT group_name FROM devices WHERE group_name COLLATE "C" > said.name
                ORDER BY group_name COLLATE "C" LIMIT 1)
        FROM said WHERE said.name IS NOT NULL)
      SELECT name FROM said WHERE name IS NOT NULL LIMIT ${limit}`),
  ]);
  const byName = new Map(made.map((row) => [row.name, groupOf(row)]));
  for (const { name } of said.rows) {
    if (!byName.has(name)) byName.set(name, groupOf({ name, description: '', rule: null }));
  }
  const sorted = [...byName.values()].sort((a, b) => (a.name < b.name ? -1 : 1)).slice(0, limit);
  return pageOf(
    sorted,
    paging.limit,
    ({ name }) => [name],
    (group) => group,
  );
}

/** The group of this name, made or only said by a device. */
export async function findGroup(db: Database, name: string): Promise<Group | undefined> {
  const [[made], [said]] = await db.batch([
    db.select().from(deviceGroups).where(eq(deviceGroups.name, name)),
    db.select({ id: devices.id }).from(devices).where(eq(devices.group, name)).limit(1),
  ]);
  if (made !== undefined) return groupOf(made);
  return said === undefined ? undefined : groupOf({ name, description: '', rule: null });
}

/** Makes a group; false where the name is taken. */
export async function addGroup(
  db: Database,
  group: { name: string; description: string; rule: GroupRule | null },
): Promise<boolean> {
  const added = await db
    .insert(deviceGroups)
    .values(group)
    .onConflictDoNothing()
    .returning({ name: deviceGroups.name });
  return added.length === 1;
}

/** Changes a group; one that only devices spoke of is made by it. */
export async function changeGroup(
  db: Database,
  name: string,
  change: { description?: string | undefined; rule?: GroupRule | undefined },
): Promise<void> {
  const set = {
    ...(change.description === undefined ? {} : { description: change.description }),
    ...(change.rule === undefined ? {} : { rule: change.rule }),
  };
  await db
    .insert(deviceGroups)
    .values({ name, ...set })
    .onConflictDoUpdate({ target: deviceGroups.name, set: { ...set, updatedAt: new Date() } });
}

/** Deletes a group, and takes its devices out of it; answers their serial numbers. */
export async function deleteGroup(db: Database, name: string): Promise<string[]> {
  const [, left] = await db.batch([
    db.delete(deviceGroups).where(eq(deviceGroups.name, name)),
    db
      .update(devices)
      .set({ group: null, updatedAt: new Date() })
      .where(eq(devices.group, name))
      .returning({ serialNo: devices.serialNo }),
  ]);
  return left.map(({ serialNo }) => serialNo);
}

/** The names of campaigns that are not over and name the group. */
export async function campaignsOfGroup(db: Database, name: string): Promise<string[]> {
  const rows = await db
    .select({ name: campaigns.name })
    .from(campaigns)
    .where(
      and(
        inArray(campaigns.status, ['draft', 'scheduled', 'active', 'paused']),
        sql`(${campaigns.target} -> 'groups' ? ${name}
          OR jsonb_path_exists(${campaigns.policy}, '$.stages[*].group ? (@ == $name)',
               jsonb_build_object('name', ${name}::text)))`,
      ),
    )
    .limit(5);
  return rows.map((row) => row.name);
}

/** Puts devices into a static group, or out of every group; answers the serial numbers that exist. */
export async function setGroup(
  db: Database,
  serialNos: readonly string[],
  name: string | null,
  from?: string,
): Promise<string[]> {
  const rows = await db
    .update(devices)
    .set({ group: name, updatedAt: new Date() })
    .where(
      and(
        sql`${devices.serialNo} = ANY(${sql.param([...serialNos])}::text[])`,
        from === undefined ? undefined : eq(devices.group, from),
      ),
    )
    .returning({ serialNo: devices.serialNo });
  return rows.map(({ serialNo }) => serialNo);
}

/** Which of these serial numbers exist. */
export async function existing(db: Database, serialNos: readonly string[]): Promise<Set<string>> {
  const rows = await db
    .select({ serialNo: devices.serialNo })
    .from(devices)
    .where(sql`${devices.serialNo} = ANY(${sql.param([...serialNos])}::text[])`);
  return new Set(rows.map(({ serialNo }) => serialNo));
}

/** How many devices a group has. Reads them all. */
export async function countGroup(db: Database, name: string): Promise<number> {
  const [row] = await db
    .select({ n: sql<number>`count(*)::int` })
    .from(devices)
    .where(and(isNull(devices.decommissionedAt), await groupsCondition(db, [name])));
  return row?.n ?? 0;
}

/** The rules of those among these groups that have one, by name. */
export async function findRules(db: Database, names: readonly string[]): Promise<Map<string, GroupRule>> {
  if (names.length === 0) return new Map();
  const made = await db
    .select({ name: deviceGroups.name, rule: deviceGroups.rule })
    .from(deviceGroups)
    .where(sql`${deviceGroups.name} = ANY(${sql.param([...names])}::text[])`);
  return new Map(made.flatMap(({ name, rule }) => (rule === null ? [] : [[name, rule]])));
}

/** How many devices have this group's name in their rows. */
export async function countInGroup(db: Database, name: string): Promise<number> {
  return db.$count(devices, eq(devices.group, name));
}

/** The condition for a device to be in at least one of these groups: by its rule where it has one, else by word. */
export async function groupsCondition(db: Database, names: readonly string[]): Promise<SQL | undefined> {
  if (names.length === 0) return undefined;
  const rules = await findRules(db, names);
  const byWord = names.filter((name) => !rules.has(name));
  const byRule = await Promise.all([...rules.values()].map((rule) => ruleCondition(db, rule)));
  return or(inArray(devices.group, byWord), ...byRule);
}

async function ruleCondition(db: Database, rule: GroupRule): Promise<SQL | undefined> {
  const { model, fw_version, tags, serial_prefix: prefix, metadata } = rule;
  return and(
    model === undefined ? undefined : eq(devices.model, model),
    fw_version === undefined ? undefined : inArray(devices.currentFirmware, await versionsIn(db, fw_version)),
    tags === undefined ? undefined : arrayOverlaps(devices.tags, tags),
    prefix === undefined
      ? undefined
      : and(gte(devices.serialNo, prefix), lt(devices.serialNo, `${prefix}\u{10ffff}`)),
    metadata === undefined ? undefined : sql`${devices.metadata} @> ${JSON.stringify(metadata)}::jsonb`,
  );
}

/** The versions in a range that some device runs: the order of versions is `protocol/version.ts`, not SQL's. */
async function versionsIn(db: Database, range: string): Promise<string[]> {
  const parsed = parseVersionRange(range);
  if (parsed === undefined) return [];
  const rows = await db.selectDistinct({ version: devices.currentFirmware }).from(devices);
  return rows.flatMap(({ version }) => (version !== null && inRange(version, parsed) ? [version] : []));
}
