/**
 * Neon's HTTP query protocol in front of any PostgreSQL: what `@neondatabase/serverless` sends to `/sql`, one
 * query or a batch in one transaction, with values as text. What it does not know it refuses loudly.
 */
import type { IncomingMessage } from 'node:http';
import pg from 'pg';
import { z } from 'zod';
import { log } from './part-process.ts';
import { type Answer, json, serveWire, unknown, type Wire } from './wire.ts';

const STATEMENT_MS = 30_000;

const query = z.object({ query: z.string(), params: z.array(z.unknown()).default([]) });
const batch = z.object({ queries: z.array(query) });
type Query = z.infer<typeof query>;

const ISOLATION: Record<string, string> = {
  ReadUncommitted: 'READ UNCOMMITTED',
  ReadCommitted: 'READ COMMITTED',
  RepeatableRead: 'REPEATABLE READ',
  Serializable: 'SERIALIZABLE',
};

/** Serves the database behind `url`. The shim's own address is `{url}/sql`. */
export async function serveNeon(databaseUrl: string): Promise<Wire> {
  const pool = new pg.Pool({
    connectionString: databaseUrl,
    max: 20,
    statement_timeout: STATEMENT_MS,
    connectionTimeoutMillis: 10_000,
  });
  // A connection that dies while idle is replaced at the next query.
  pool.on('error', (error) => log('neon', 'warn', `idle connection lost: ${error.message}`));
  const wire = await serveWire((request, body) => answer(pool, request, body));
  return {
    url: `${wire.url}/sql`,
    close: async () => {
      await wire.close();
      await pool.end();
    },
  };
}

async function answer(pool: pg.Pool, request: IncomingMessage, body: string): Promise<Answer> {
  if (request.method !== 'POST' || request.url !== '/sql') return unknown(`${request.method} ${request.url}`);
  if (request.headers['neon-raw-text-output'] !== 'true') return unknown('results that are not raw text');
  const asArray = request.headers['neon-array-mode'] === 'true';
  const said: unknown = JSON.parse(body);
  const several = batch.safeParse(said);
  if (several.success) return inTransaction(pool, request, several.data.queries, asArray);
  const single = query.safeParse(said);
  if (!single.success) return unknown(`a body of another shape: ${body.slice(0, 200)}`);
  return withClient(pool, async (client) => json(200, await run(client, single.data, asArray)));
}

async function inTransaction(
  pool: pg.Pool,
  request: IncomingMessage,
  queries: readonly Query[],
  asArray: boolean,
): Promise<Answer> {
  const begin = beginStatement(request.headers);
  if (begin === undefined) return unknown('this isolation level');
  return withClient(pool, async (client) => {
    await client.query(begin);
    try {
      const results = [];
      for (const one of queries) results.push(await run(client, one, asArray));
      await client.query('COMMIT');
      return json(200, { results });
    } catch (error) {
      await client.query('ROLLBACK');
      throw error;
    }
  });
}

function beginStatement(headers: IncomingMessage['headers']): string | undefined {
  const level = headers['neon-batch-isolation-level'];
  const isolation = level === undefined ? 'READ COMMITTED' : ISOLATION[String(level)];
  if (isolation === undefined) return undefined;
  const readOnly = headers['neon-batch-read-only'] === 'true' ? ' READ ONLY' : '';
  const deferrable = headers['neon-batch-deferrable'] === 'true' ? ' DEFERRABLE' : '';
  return `BEGIN ISOLATION LEVEL ${isolation}${readOnly}${deferrable}`;
}

async function withClient(pool: pg.Pool, work: (client: pg.PoolClient) => Promise<Answer>): Promise<Answer> {
  let client: pg.PoolClient | undefined;
  let broken = false;
  try {
    client = await pool.connect();
    // Losing the connection in the middle of a query also fails that query, which tells the caller.
    client.on('error', noteLoss);
    return await work(client);
  } catch (error) {
    broken = !(error instanceof pg.DatabaseError) || error.severity === 'FATAL';
    return failure(error);
  } finally {
    client?.off('error', noteLoss);
    client?.release(broken);
  }
}

const noteLoss = (error: Error): void => log('neon', 'warn', `connection lost: ${error.message}`);

/** Values stay as PostgreSQL wrote them: parsing them is the driver's work. */
const asText = { getTypeParser: () => (value: string) => value };

async function run(client: pg.PoolClient, { query: text, params }: Query, asArray: boolean) {
  const result = await client.query({ text, values: params, rowMode: 'array', types: asText });
  const { fields, rows, command, rowCount } = result;
  return {
    fields: fields.map(({ name, dataTypeID, tableID, columnID, dataTypeSize, dataTypeModifier, format }) => ({
      name,
      dataTypeID,
      tableID,
      columnID,
      dataTypeSize,
      dataTypeModifier,
      format,
    })),
    rows: asArray
      ? rows
      : rows.map((row: unknown[]) => Object.fromEntries(fields.map((field, i) => [field.name, row[i]]))),
    command,
    rowCount,
    rowAsArray: asArray,
  };
}

/** PostgreSQL's own error fields, as the driver reads them; 400 for its errors, 503 where it is not there. */
function failure(error: unknown): Answer {
  if (!(error instanceof pg.DatabaseError)) {
    return json(503, {
      message: `database not reachable: ${error instanceof Error ? error.message : String(error)}`,
    });
  }
  const {
    severity,
    code,
    detail,
    hint,
    position,
    schema,
    table,
    column,
    dataType,
    constraint,
    file,
    line,
    routine,
  } = error;
  return json(400, {
    message: error.message,
    severity,
    code,
    detail,
    hint,
    position,
    schema,
    table,
    column,
    dataType,
    constraint,
    file,
    line,
    routine,
  });
}
