/**
 * Connection, and `connect` which opens one.
 *
 * @module
 */
import process from "node:process";
import { type Library, LibraryError, load } from "../ffi/libsqlite3.ts";
import { RemoteDatabase } from "../ffi/remote.ts";
import { backUp, type BackupOptions, checkBackupOptions } from "./backup.ts";
import { Sessions } from "./session.ts";
import { Core } from "./core.ts";
import { InterfaceError, ProgrammingError, unwrap } from "./errors.ts";
import { isCalledBy } from "./inside.ts";
import {
  type Autocommit,
  type CallOptions,
  checkAutocommit,
  checkDatabase,
  checkIsolationLevel,
  checkOptions,
  checkRowFactory,
  checkTextFactory,
  type ConnectOptions,
  type IsolationLevel,
  type RowFactoryOption,
  type Settings,
  type TextFactory,
} from "./options.ts";
import { asRequest, type Request } from "./request.ts";
import type { Row } from "./row.ts";
import { Client } from "./thread/client.ts";
import { Failure } from "./thread/protocol.ts";
import {
  transact,
  type Transaction,
  transactionOf,
  type TransactionOptions,
} from "./transaction.ts";
import type { SqlValue } from "./values.ts";

const SQLITE_OPEN_READONLY = 0x1;
const SQLITE_OPEN_READWRITE_CREATE = 0x6;
const SQLITE_OPEN_URI = 0x40;

/**
 * Opens a database: a file path, `":memory:"`, or a `file:` URL. The connection has a thread of its
 * own, on which everything SQLite does runs.
 *
 * @example
 * ```ts
 * import { connect } from "@aiosqlite/aiosqlite";
 *
 * await using db = await connect(":memory:");
 * await db.execute("CREATE TABLE user (name TEXT)");
 * await db.execute("INSERT INTO user VALUES (?)", ["Ada"]);
 * await db.commit();
 * for await (const [name] of db.execute("SELECT name FROM user")) console.log(name);
 * ```
 *
 * Rejects with an `OperationalError` when the file can't be opened, an `InterfaceError` when no
 * SQLite library is found, and a `ProgrammingError` for a bad option.
 */
export function connect(
  database: string | URL,
  options: ConnectOptions<Row> & { rowFactory: typeof Row },
): Request<Connection<Row>>;
export function connect<R = SqlValue[]>(
  database: string | URL,
  options?: ConnectOptions<R>,
): Request<Connection<R>>;
export function connect<R>(
  database: string | URL,
  options: ConnectOptions<R> = {},
): Request<Connection<R>> {
  return asRequest(open<R>(database, options));
}

async function open<R>(database: unknown, options: unknown): Promise<Connection<R>> {
  const settings = checkOptions(options);
  const filename = checkDatabase(database, settings.uri);
  settings.signal?.throwIfAborted();
  const library = loadLibrary(settings.library);
  const flags = (settings.readonly ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE_CREATE) |
    (settings.uri ? SQLITE_OPEN_URI : 0);
  const { signal, timeout, isolationLevel, autocommit, trustedSchema, detectTypes } = settings;
  const modes = [trustedSchema, timeout, isolationLevel, autocommit, detectTypes] as const;
  const open = (client: Client) =>
    client.call("open", [filename, flags, ...modes, library.path], undefined, signal);
  let client = new Client();
  let reply = await open(client);
  while (client.misled) reply = await open(client = new Client());
  if (reply instanceof Failure || signal?.aborted) client.close();
  signal?.throwIfAborted();
  const [handle, length, sqlLength, looks] = unwrap(reply);
  client.opened(new RemoteDatabase(library, handle), handle, settings.readonly, looks);
  return new Connection<R>(new Core(client, settings, { length, sqlLength }), filename);
}

/**
 * Loads the library on this thread first. What only a worker had loaded would be unloaded with it,
 * and after a crash there would be nothing to close its connection with.
 */
function loadLibrary(path: string | null): Library {
  try {
    return load(path ?? undefined);
  } catch (error) {
    throw error instanceof LibraryError ? new InterfaceError(error.message) : error;
  }
}

/** The core of a connection, for what else works on it. */
export let coreOf: <R>(connection: Connection<R>) => Core;

/** A connection that is collected while open is closed, which may only send messages. */
const forgotten = new FinalizationRegistry<[core: Core, filename: string]>(([core, filename]) => {
  if (core.closed || core.client.over) return;
  core.closed = true;
  process.emitWarning(`The connection to ${filename} was deleted before being closed.`, {
    type: "ResourceWarning",
  });
  core.client.close();
});

/**
 * A connection to a database; made by `connect`. Calls are served one after the other, in the
 * order they are made. `R` is the type of a row.
 *
 * Source: `aiosqlite.Connection`, `sqlite3.Connection`.
 */
export class Connection<R = SqlValue[]> extends Sessions<R> implements AsyncDisposable {
  readonly #core: Core;
  readonly #settings: Settings;
  /** The last setting of `autocommit`. */
  #setting: unknown;
  #closing: Promise<void> | undefined;

  /** Made by `connect`. */
  constructor(core: Core, filename: string) {
    super(core);
    this.#core = core;
    this.#settings = core.settings;
    forgotten.register(this, [core, filename], this);
  }

  /** Whether `close` has been called. */
  get closed(): boolean {
    return this.#core.closed;
  }

  /** Whether a transaction is open, as of the last call that has been answered. */
  get inTransaction(): boolean {
    return this.#core.client.inTransaction;
  }

  /** Rows changed since the connection was opened, as of the last call that has been answered. */
  get totalChanges(): number {
    return this.#core.client.totalChanges;
  }

  /**
   * What begins a transaction before an INSERT, UPDATE, DELETE or REPLACE; null for nothing. In
   * force for the calls made after it. Setting null commits an open transaction; if that fails,
   * the next call rejects. Throws a `ProgrammingError` for a bad value.
   */
  get isolationLevel(): IsolationLevel {
    return this.#settings.isolationLevel;
  }

  set isolationLevel(level: ConnectOptions["isolationLevel"]) {
    const checked = checkIsolationLevel(level);
    this.#core.check();
    this.#settings.isolationLevel = checked;
    this.#core.client.call("setIsolationLevel", [checked]);
  }

  /**
   * Who controls transactions: `"legacy"`, SQLite (true), or always a transaction (false). Setting
   * true commits an open one, false begins one; if that fails, the next call rejects.
   * Source: Python 3.12.
   */
  get autocommit(): Autocommit {
    return this.#settings.autocommit;
  }

  set autocommit(autocommit: Autocommit) {
    const checked = checkAutocommit(autocommit);
    this.#core.check();
    if (this.#core.scope.held) {
      throw new ProgrammingError("autocommit can't be set during a transaction()");
    }
    this.#settings.autocommit = checked;
    const setting = this.#setting = this.#core.client.call("setAutocommit", [checked]);
    setting.then((inForce) => {
      if (setting !== this.#setting || inForce instanceof Failure) return;
      this.#settings.autocommit = inForce;
    });
  }

  /** What the rows of cursors made from now on are: null for arrays, `Row`, `objectRow`, or own. */
  get rowFactory(): RowFactoryOption<R> {
    return this.#settings.rowFactory as RowFactoryOption<R>;
  }

  set rowFactory(factory: RowFactoryOption<R>) {
    this.#settings.rowFactory = checkRowFactory(factory);
  }

  /** What TEXT is read as: `"string"`, `"bytes"`, or what a function makes of the UTF-8 bytes. */
  get textFactory(): TextFactory {
    return this.#core.decoding.text;
  }

  set textFactory(factory: TextFactory) {
    this.#core.decoding = { ...this.#core.decoding, text: checkTextFactory(factory) };
  }

  protected override get owner(): Connection<R> {
    return this;
  }

  /**
   * Runs a function in a transaction: COMMIT when it fulfils, ROLLBACK when it throws. Without a
   * function, opens one: `await` gives it, and what disposes of it without `commit()` rolls back.
   *
   * While it is open, calls of other tasks on this connection wait in line, for `timeout`
   * milliseconds at most: then they reject with an `OperationalError` of code `SQLITE_BUSY`. Calls of
   * the connection from within the function take part in the transaction.
   */
  transaction(options?: TransactionOptions): Request<Transaction<R>>;
  transaction<T>(
    work: (transaction: Transaction<R>) => T | Promise<T>,
    options?: TransactionOptions,
  ): Promise<T>;
  transaction<T>(
    first?: TransactionOptions | ((transaction: Transaction<R>) => T | Promise<T>),
    options?: TransactionOptions,
  ): Request<Transaction<R>> | Promise<T> {
    return transact<R, T>(this, this.#core, this.#core.scope, first, options);
  }

  /** Commits the open transaction; does nothing when there is none. */
  async commit(options?: CallOptions): Promise<void> {
    await this.#endTransaction("commit", options);
  }

  /** Rolls the open transaction back; does nothing when there is none. */
  async rollback(): Promise<void> {
    await this.#endTransaction("rollback");
  }

  /** Within the function of a `transaction()` that is what ends; else what a statement began. */
  async #endTransaction(how: "commit" | "rollback", options?: CallOptions): Promise<void> {
    this.#core.check();
    const { client, scope } = this.#core;
    const waiting = this.#core.waiting(options);
    const transaction = transactionOf(scope.current());
    if (transaction) return await transaction[how](options);
    unwrap(await scope.send((signal) => client.call(how, [], undefined, signal), waiting));
  }

  /**
   * Copies a database to the `main` one of another connection, which has to wait meanwhile; this one
   * can be used between the steps. Rejects with an `OperationalError` when the target is in a
   * transaction, or a database does not exist. Source: `sqlite3`'s `backup`,
   * https://sqlite.org/backup.html
   */
  async backup<T>(target: Connection<T>, options: BackupOptions = {}): Promise<void> {
    if (!(target instanceof Connection)) {
      throw new ProgrammingError("The target of a backup is a Connection");
    }
    if (target as unknown === this) {
      throw new ProgrammingError("target cannot be the same connection instance");
    }
    await backUp(this.#core, target.#core, checkBackupOptions(options));
  }

  /**
   * Interrupts what runs now, a wait for a lock included: it rejects with an `OperationalError` of
   * code `SQLITE_INTERRUPT`. Calls that have not begun are not affected. Works at once.
   */
  interrupt(): void {
    this.#core.check();
    this.#core.client.interrupt();
  }

  /**
   * Closes the connection once the calls made before have been answered. What is not committed is
   * rolled back. Every call of it, however often, resolves when the connection is closed; one from
   * within a function that SQLite calls resolves at once.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    // What waits for this would wait for itself.
    if (isCalledBy(this.#core)) return Promise.resolve();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#core.closed = true;
    forgotten.unregister(this);
    const { client, scope } = this.#core;
    if (client.lent) await client.lent;
    const closed = new Failure("ProgrammingError", "Cannot operate on a closed database.");
    await scope.close(closed, () => client.call("end", ["ROLLBACK"]));
    unwrap(await client.close());
  }

  /** `close()`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  static {
    coreOf = (connection) => connection.#core;
  }
}
