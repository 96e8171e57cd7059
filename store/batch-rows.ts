/** The rows of a bulk statement as its parameters: an array for each column. */
import { type SQL, sql } from 'drizzle-orm';

/**
 * `unnest` of these columns, to be named by the caller. The planner does not see how many rows there are: of some
 * hundred it would rather read the whole table than look each up by its key.
 */
export function batchRows(columns: readonly (readonly [type: string, values: readonly unknown[]])[]): SQL {
  const arrays = columns.map(([type, values]) => sql`(SELECT ${sql.param(values)}::${sql.raw(type)}[])`);
  return sql`unnest(${sql.join(arrays, sql`, `)})`;
}
