/**
 * Result: the rows of one execution, as they come from the worker and are handed out.
 *
 * @module
 */
import type { Core, ResultColumns } from "./core.ts";
import { DataError, OperationalError, ProgrammingError, toFailure, unwrap } from "./errors.ts";
import { isCalledBy } from "./inside.ts";
import { type ColumnDescription, describeColumn, type RowFactory } from "./row.ts";
import type { Waiting } from "./line.ts";
import { RowQueue } from "./queue.ts";
import type { Scope } from "./scope.ts";
import { onAbort, type Signal } from "./thread/abort.ts";
import type { Receiver } from "./thread/client.ts";
import type { Span } from "./thread/codec.ts";
import {
  type ColumnList,
  type Executed,
  Failure,
  type Request,
  requestSize,
} from "./thread/protocol.ts";
import { type Decoding, readBatch, Undecodable } from "./thread/rows.ts";
import type { KnownStatement } from "./thread/slots.ts";
import { type Converter, converterOf } from "./types.ts";
import type { SqlValue } from "./values.ts";

export class Result implements Receiver {
  /** Rows changed, or -1. */
  rowCount = -1;
  /** The rowid inserted, or null when none was. */
  insertedRowId: number | bigint | null = null;
  description: readonly ColumnDescription[] | null = null;
  /** Called once no rows are left in the worker, if some were when it was executed. */
  onEnd: (() => void) | null = null;
  /** Settles when the statement has been executed; never rejects. */
  executing: Promise<unknown> | null = null;
  readonly #core: Core;
  /** Where it is executed: from then on the scope that this belonged to. */
  #scope: Scope;
  readonly #id: number;
  #sql = "";
  #statement: KnownStatement<ResultColumns> | undefined;
  #waiting: Waiting | undefined;
  /** How values are read, whatever the connection says. */
  readonly #fixedDecoding: Decoding | undefined;
  #decoding: Decoding;
  readonly #rows = new RowQueue<SqlValue[]>();
  /** Rows that have come in, and of these the last time. */
  #received = 0;
  #receivedLast = 0;
  /** Makes rows of what has come in, as it comes in. */
  #maker: RowFactory<unknown> | null = null;
  /** What came in with the reply, whose columns tell what to make of it. */
  #unmade: unknown[] | null = null;
  #sent = false;
  #closed = false;
  /** The signal that has ended it. */
  #aborted: Signal | null = null;
  #forget: (() => void) | undefined;
  /** No rows are left in the worker. */
  #ended = true;
  #filling: Promise<Failure | null> | null = null;
  #converters: (Converter | undefined)[] | null = null;
  /** What is to be thrown once the rows before it have been handed out. */
  #failure: { readonly error: unknown } | null = null;

  constructor(core: Core, scope: Scope, decoding?: Decoding) {
    this.#core = core;
    this.#scope = scope;
    this.#id = core.nextResult();
    this.#fixedDecoding = decoding;
    this.#decoding = decoding ?? core.decoding;
  }

  /** Throws when the transaction it belongs to has ended, or its signal has ended it. */
  checkUse(): void {
    if (this.aborted) {
      this.#abort();
      throw this.#aborted!.reason;
    }
    if (this.#scope.broken) {
      this.#end();
      this.#scope.check();
    }
    if (!this.#scope.active) throw new ProgrammingError("Cannot operate on a closed cursor.");
  }

  /** Whether its signal has ended it while rows were left. */
  get aborted(): boolean {
    if (this.#aborted) return true;
    return this.#waiting?.signal?.aborted === true && (this.ready > 0 || this.pending);
  }

  /** Rows that have come in and not been handed out. */
  get ready(): number {
    return this.#rows.length;
  }

  /** Whether the worker holds rows of it. */
  get open(): boolean {
    return !this.#ended && this.#scope.active;
  }

  /** Whether rows may still come in, if nothing has gone wrong. */
  get pending(): boolean {
    return this.#failure === null && (!this.#ended || this.executing !== null);
  }

  /** Has a factory, which must not throw, make the rows of `execute` while others come in. */
  makeBy(factory: RowFactory<unknown>): void {
    this.#maker = factory;
  }

  /** Whether its rows are what is asked for: nothing is to be converted, or made by that factory. */
  finished(factory: unknown): boolean {
    return this.#converters === null && (factory === null || this.#maker !== null);
  }

  /** `send`, its reply awaited and taken in. */
  async execute(
    sql: string,
    parameters: Span,
    rows: number,
    waiting: Waiting,
  ): Promise<void> {
    this.settle(await this.send(sql, parameters, rows, waiting));
  }

  /**
   * Has a statement executed and rows fetched: at least so many, or ALL, or just ONE. The reply is
   * for `settle`: to await it in between is the caller's, whose call then takes one async function
   * less.
   */
  send(
    sql: string,
    parameters: Span,
    rows: number,
    waiting: Waiting,
  ): Promise<Executed | Failure> {
    const { client, statements } = this.#core;
    this.#sql = sql;
    this.#waiting = waiting;
    this.#decoding = this.#fixedDecoding ?? this.#core.decoding;
    this.#scope = this.#scope.current();
    // A text is told to the worker once, so it is looked up in the order of sending.
    const executing = this.#scope.send((signal) => {
      const refusal = client.refusal(requestSize(sql, parameters));
      if (refusal) return Promise.resolve(refusal);
      this.#core.tellConverters();
      const [statement, text] = statements.get(sql);
      this.#statement = statement;
      const request: Request<"execute"> = [this.#id, statement.slot, text, parameters, rows];
      const reply = client.call("execute", request, this, signal);
      this.#sent = true;
      if (this.#closed) this.#reset(); // while it was in line
      return reply;
    }, waiting);
    this.executing = executing;
    return executing;
  }

  /** Takes in the reply. Throws if it is a failure. */
  settle(reply: Executed | Failure): void {
    this.executing = null;
    const [ended, rowCount, insertedRowId] = unwrap(reply, this.#sql);
    this.rowCount = rowCount;
    this.insertedRowId = insertedRowId;
    this.#ended = ended || this.#closed;
    // Aborted between two fetches it is not to hold its lock.
    const signal = this.#waiting?.signal;
    if (!this.#ended && signal) this.#forget = onAbort(signal, () => this.#abort());
  }

  /** Takes note of the columns, which may be what they were. */
  #learn(known: KnownStatement<ResultColumns>, columns: ColumnList | null): void {
    if (columns) known.columns = describe(columns);
    const { description, converters } = known.columns ?? NO_COLUMNS;
    this.description = description;
    this.#converters = converters?.map((key) => key === null ? undefined : converterOf(key)) ??
      null;
  }

  /** Makes rows of those that have come in, in place. What has to be converted is left for later. */
  #make(rows: unknown[]): void {
    if (this.#maker === null || this.#converters) return;
    for (let i = 0; i < rows.length; i++) rows[i] = this.#maker(this, rows[i] as SqlValue[]);
  }

  #abort(): void {
    this.#aborted ??= this.#waiting!.signal!;
    this.#rows.clear();
    this.close();
  }

  /** Waits for more rows. Who asks while some are being fetched waits for those. */
  async fill(rows: number): Promise<void> {
    if (this.executing) await this.executing;
    else unwrap(await (this.#filling ??= this.#fetch(rows)));
  }

  /**
   * Has more rows fetched, without waiting, if fewer are there than that or than came in last: the
   * worker is at the next rows while these are used.
   */
  fetchAhead(rows: number): void {
    if (this.#ended || this.#filling) return;
    if (this.ready < Math.max(rows, this.#receivedLast)) {
      this.#filling = this.#fetch(rows); // should it not get a turn, whoever wants rows tries again
    }
  }

  /** Throws what went wrong, once. */
  check(): void {
    if (this.#failure === null) return;
    const { error } = this.#failure;
    this.#failure = null;
    unwrap(error, this.#sql);
    throw error instanceof Undecodable ? this.#explain(error) : error;
  }

  #explain({ column, reason, bytes }: Undecodable): Error {
    const name = this.description?.[column]?.name ?? column;
    switch (reason) {
      case "integer":
        return new DataError(`The integer in column '${name}' is too large for a number`);
      case "length":
        return new DataError(`The text in column '${name}' is too long for a string`);
      case "text": {
        const text = new TextDecoder().decode(bytes);
        return new OperationalError(
          `Could not decode to UTF-8 column '${name}' with text '${text}'`,
        );
      }
    }
  }

  /** Up to `count` of the rows that have come in, as they are: see `finished` and `convert`. */
  take(count: number): SqlValue[][] {
    return this.#rows.take(count);
  }

  /** All of them, likewise. */
  takeAll(): SqlValue[][] | Promise<SqlValue[][]> {
    return this.#rows.takeAll();
  }

  /** The next of the rows that have come in, converted. */
  takeOne(): SqlValue[] | undefined {
    const row = this.#rows.takeOne();
    return row && this.convert(row);
  }

  /** Has converters make what they make of their columns' bytes, in place; nothing is null. */
  convert(row: SqlValue[]): SqlValue[] {
    const converters = this.#converters;
    if (converters === null) return row;
    for (let i = 0; i < row.length; i++) {
      const converter = converters[i];
      const bytes = row[i];
      if (converter === undefined || !(bytes instanceof Uint8Array)) continue;
      row[i] = bytes.length === 0 ? null : converter(bytes) as SqlValue;
    }
    return row;
  }

  /** Forgets the rows that are left. Settles when the worker has, too; never rejects. */
  async close(): Promise<void> {
    if ((this.#ended && !this.executing) || this.#closed) return;
    this.#closed = true;
    // In line it is done once it is sent.
    const done = this.#sent && !this.#core.closed ? this.#reset() : null;
    this.#end();
    if (!isCalledBy(this.#core)) await done; // which would wait for the function that is running
  }

  #reset(): Promise<unknown> {
    return this.#core.client.call("reset", [this.#id]);
  }

  /**
   * Learns the columns, right when the reply comes in: what comes in behind it may be rows of the
   * same statement, which then are taken for known.
   */
  replied(reply: Executed | boolean): void {
    if (typeof reply === "boolean") return;
    this.#learn(this.#statement!, reply[3]);
    if (this.#unmade) this.#make(this.#unmade);
    this.#unmade = null;
  }

  /** Reads a batch. It is not the place to throw: that waits until the rows are asked for. */
  receive(bytes: Uint8Array, view: DataView, at: number, columns?: ColumnList | null): void {
    const early = columns !== undefined && this.executing !== null;
    if (early) this.#learn(this.#statement!, columns);
    if (this.#failure) return;
    const { rows, failure } = readBatch(bytes, view, at, this.#decoding);
    this.#failure = failure;
    this.#received += rows.length;
    this.#rows.add(rows as SqlValue[][]);
    if (early) this.#make(rows);
    else if (this.executing) this.#unmade = rows;
  }

  /** Fetches rows. What it returns has kept it from that: all rows are still there. */
  async #fetch(rows: number): Promise<Failure | null> {
    const { client } = this.#core;
    const received = this.#received;
    let sent = false;
    this.#decoding = this.#fixedDecoding ?? this.#core.decoding;
    const fetch = (signal?: Signal) => {
      sent = true;
      return client.call("fetch", [this.#id, rows], this, signal);
    };
    try {
      const reply = await this.#scope.send(fetch, this.#waiting!);
      if (reply instanceof Failure && !sent) return reply;
      if (reply !== false) this.#end();
      if (reply instanceof Failure) this.#failure ??= { error: reply };
      if (this.#failure) this.close();
      return null;
    } catch (error) {
      return toFailure(error); // its transaction has ended, or the thread
    } finally {
      if (client.over) this.#end();
      this.#receivedLast = this.#received - received;
      this.#filling = null;
    }
  }

  #end(): void {
    this.#ended = true;
    this.#forget?.();
    this.onEnd?.();
    this.onEnd = null;
  }
}

const NO_COLUMNS: ResultColumns = { description: null, converters: null };

function describe(columns: ColumnList): ResultColumns {
  if (columns.length === 0) return NO_COLUMNS;
  return {
    description: columns.map(([name, declaredType, , origin]) => {
      return describeColumn(name, declaredType, origin);
    }),
    converters: columns.some(([, , key]) => key !== null) ? columns.map(([, , key]) => key) : null,
  };
}
