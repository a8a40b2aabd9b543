/**
 * Which connection of a pool runs a statement.
 *
 * @module
 */
import { SQLITE_BUSY, SQLITE_ERROR } from "../ffi/result_codes.ts";
import type { Connection } from "./connection.ts";
import { Cursor, whenRead } from "./cursor.ts";
import { ProgrammingError, SqliteError } from "./errors.ts";
import type { Waiting } from "./line.ts";
import type { Readers } from "./readers.ts";
import { Routes } from "./routes.ts";
import type { Settings } from "./settings.ts";
import type { SqlParameters } from "./values.ts";
import type { Writer } from "./writer.ts";

/** What is done with a connection. */
type Run<R, T> = (connection: Connection<R>) => Promise<T>;

/** A statement to be run, on the connection that it turns out to be for. */
export interface Call<R, T> {
  readonly sql: string;
  readonly parameters: SqlParameters | undefined;
  readonly waiting: Waiting;
  readonly run: Run<R, T>;
}

export class Dispatcher<R> {
  readonly #readers: Readers<R>;
  readonly #writer: Writer<R>;
  readonly #settings: Settings<R>;
  readonly #routes = new Routes();
  /** Cursors of readers that are not read to their ends. */
  readonly #unread = new Set<WeakRef<Cursor<R>>>();
  /** Nobody will read them. */
  #closing = false;

  constructor(readers: Readers<R>, writer: Writer<R>, settings: Settings<R>) {
    this.#readers = readers;
    this.#writer = writer;
    this.#settings = settings;
  }

  /** Runs a statement where it belongs. */
  dispatch<T>(call: Call<R, T>): Promise<T> {
    const { sql, run } = call;
    if (this.#writer.held) return this.#writer.use(run);
    const route = this.#routes.of(sql);
    if (route === "refuse") {
      throw new ProgrammingError("A pool's transactions are made by transaction()", { sql });
    }
    if (route === "all") return this.#everywhere(call);
    if (route === "write" || this.#readers.most === 0) return this.#writer.use(run);
    return this.#maybeOnReader(call, route === "read");
  }

  /** Runs a statement on a reader if it reads only, which SQLite is asked once. */
  async #maybeOnReader<T>({ sql, waiting, run }: Call<R, T>, reads: boolean): Promise<T> {
    const current = this.#readers.current();
    const reader = current ?? await this.#readers.borrow(waiting);
    let unread = false;
    let wrong: unknown;
    try {
      await this.#settings.settle(reader);
      if (reads || await this.#routes.ask(sql, reader)) {
        const value = await run(reader);
        unread = !current && value instanceof Cursor && this.#keepUntilRead(value, reader);
        return value;
      }
    } catch (error) {
      if (!mayDoElsewhere(error)) throw error;
      wrong = error;
    } finally {
      if (!current && !unread) this.#readers.giveBack(reader);
    }
    return await this.#insteadOnWriter(run, wrong);
  }

  /** What a reader does not know, the writer may: a temporary table, say. */
  async #insteadOnWriter<T>(run: Run<R, T>, wrong: unknown): Promise<T> {
    try {
      return await this.#writer.use(run);
    } catch (error) {
      // That it is busy says less than what was wrong at first.
      throw wrong && error instanceof SqliteError && error.errno === SQLITE_BUSY ? wrong : error;
    }
  }

  /** Keeps a reader lent while rows of the cursor are left; false when none are. */
  #keepUntilRead(cursor: Cursor<R>, reader: Connection<R>): boolean {
    const unread = new WeakRef(cursor);
    const open = whenRead(cursor, () => {
      this.#unread.delete(unread);
      this.#readers.giveBack(reader);
    });
    if (open) this.#unread.add(unread);
    if (open && this.#closing) cursor.close();
    return open;
  }

  /** Runs a statement on the writer now and on every other connection before its next use. */
  #everywhere<T>({ sql, parameters, run }: Call<R, T>): Promise<T> {
    return this.#writer.use(async (writer) => {
      const value = await run(writer);
      this.#settings.addStatement(sql, parameters, writer);
      return value;
    });
  }

  /** Closes the cursors that are not read to their ends, and those still to come. */
  closeUnread(): void {
    this.#closing = true;
    for (const cursor of this.#unread) cursor.deref()?.close();
  }
}

/** Whether a statement that fails on a reader may be understood by the writer. */
function mayDoElsewhere(error: unknown): boolean {
  return error instanceof SqliteError && error.errno === SQLITE_ERROR;
}
