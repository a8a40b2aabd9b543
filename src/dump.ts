/**
 * A database as the SQL statements that make it again.
 *
 * @module
 */
import { checker, refuse } from "./checks.ts";
import type { Core } from "./core.ts";
import { Result } from "./result.ts";
import { quoteName } from "./thread/sql.ts";
import { encodeParameters, type SqlValue } from "./values.ts";

/** Options of `iterDump`. */
export interface DumpOptions {
  /** Only what has a name that is LIKE this. */
  filter?: string | null | undefined;
}

/** Rows fetched at once. */
const CHUNK = 64;

function quoteText(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

/**
 * Yields the statements, in the order and form of Python's `sqlite3`. One after the other, when
 * they are asked for; nothing is held that is not being read.
 */
export async function* dump(core: Core, filter: string | null): AsyncGenerator<string, void, void> {
  core.check();
  if ((await all(core, "PRAGMA foreign_key_check")).length > 0) yield "PRAGMA foreign_keys=OFF;";
  yield "BEGIN TRANSACTION;";
  let writable = false;
  const sequence: string[] = [];
  for (const [name, , sql] of await schema(core, "= 'table'", filter, 'ORDER BY "name"')) {
    if (name === "sqlite_sequence") {
      sequence.push('DELETE FROM "sqlite_sequence";');
      for (const [table, last] of await all(core, 'SELECT "name", "seq" FROM "sqlite_sequence"')) {
        sequence.push(`INSERT INTO "sqlite_sequence" VALUES(${quoteText(String(table))},${last});`);
      }
      continue;
    }
    if (name === "sqlite_stat1") yield 'ANALYZE "sqlite_master";';
    else if (name.startsWith("sqlite_")) continue;
    else if (sql.startsWith("CREATE VIRTUAL TABLE")) {
      if (!writable) yield "PRAGMA writable_schema=ON;";
      writable = true;
      const quoted = quoteText(name);
      yield "INSERT INTO sqlite_master(type,name,tbl_name,rootpage,sql)" +
        `VALUES('table',${quoted},${quoted},0,${quoteText(sql)});`;
    } else yield ended(sql);
    yield* inserts(core, name);
  }
  for (const [, , sql] of await schema(core, "IN ('index', 'trigger', 'view')", filter, "")) {
    yield ended(sql);
  }
  if (writable) yield "PRAGMA writable_schema=OFF;";
  yield* sequence;
  yield "COMMIT;";
}

/** A statement with its semicolon, which may not be part of a comment. */
function ended(sql: string): string {
  return /--[^\n]*$/.test(sql) ? `${sql}\n;` : `${sql};`;
}

/** What SQLite before 3.41 can't read again. */
const INFINITE = new Map<SqlValue, string>([["Inf", "9.0e+999"], ["-Inf", "-9.0e+999"]]);

/** An INSERT for each row of a table; SQLite itself writes the values. */
async function* inserts(core: Core, table: string): AsyncGenerator<string, void, void> {
  const name = quoteName(table);
  const columns = (await all(core, `PRAGMA table_info(${name})`)).map(([, column]) => {
    const name = quoteName(String(column));
    // quote() ends at a null character, and would lose what follows it.
    return `CASE WHEN typeof(${name}) = 'text' AND instr(${name}, char(0)) ` +
      `THEN 'CAST(X''' || hex(${name}) || ''' AS TEXT)' ELSE quote(${name}) END`;
  });
  const result = new Result(core, core.scope, PLAIN);
  try {
    await result.execute(
      `SELECT ${columns.join()} FROM ${name}`,
      encodeParameters(undefined, core.limits),
      CHUNK,
      core.waiting(),
    );
    for (;;) {
      while (result.ready === 0 && result.pending) await result.fill(CHUNK);
      const row = result.takeOne();
      if (row === undefined) break;
      yield `INSERT INTO ${name} VALUES(${
        row.map((value) => INFINITE.get(value) ?? value).join()
      });`;
      core.check();
    }
    result.check();
  } finally {
    await result.close();
  }
}

type Entry = [name: string, type: string, sql: string];

async function schema(
  core: Core,
  type: string,
  filter: string | null,
  order: string,
): Promise<Entry[]> {
  const like = filter === null ? "" : 'AND "name" LIKE ?';
  // As expressions, since columns may have converters.
  const sql = `SELECT +"name", +"type", +"sql" FROM "sqlite_master" ` +
    `WHERE "sql" NOT NULL AND "type" ${type} ${like} ${order}`;
  return await all(core, sql, filter === null ? [] : [filter]) as unknown as Entry[];
}

/** Values as they are, whatever the connection makes of them elsewhere. */
const PLAIN = { integers: "auto", text: "string" } as const;

async function all(core: Core, sql: string, parameters: string[] = []): Promise<SqlValue[][]> {
  const result = new Result(core, core.scope, PLAIN);
  const encoded = encodeParameters(parameters, core.limits);
  await result.execute(sql, encoded, -1, core.waiting());
  result.check();
  return result.take(Infinity);
}

/** Checks the options. */
export const checkDumpOptions: (options: unknown) => { filter: string | null } = checker<
  { filter: string | null }
>({ filter: [checkFilter, null] });

function checkFilter(filter: unknown): string | null {
  if (filter === null || typeof filter === "string") return filter || null; // as Python has it
  refuse("filter", "a string", filter);
}
