/**
 * What the two halves of a connection say to each other. Types only.
 *
 * @module
 */
import type { Signal } from "./abort.ts";
import type { Plain, Span } from "./codec.ts";

/** When a statement begins a transaction by itself; null is never. */
export type IsolationLevel = "DEFERRED" | "IMMEDIATE" | "EXCLUSIVE" | null;

/** Who controls transactions: the isolation level (as ever), SQLite alone, or PEP 249. */
export type Autocommit = "legacy" | boolean;

/** `detectTypes`: look at the declared type of a column. */
export const PARSE_DECLTYPES = 1;

/** `detectTypes`: look for a type in the column's name, as in `SELECT x AS "x [date]"`. */
export const PARSE_COLNAMES = 2;

/** A result's columns: name, declared type, key of its converter, and where it comes from. */
export type ColumnList = readonly (readonly [
  name: string,
  declaredType: string | null,
  converter: string | null,
  origin: readonly [database: string, table: string, column: string] | null,
])[];

/** What is left to know once a statement has run. */
export type Executed = readonly [
  /** All rows have been sent, and the statement is reset. */
  ended: boolean,
  /** Rows changed, or -1. */
  rowCount: number,
  /** The rowid inserted, or null when none was. */
  lastRowId: number | bigint | null,
  /** The columns, unless they are those that were sent for this slot, or with rows, before. */
  columns: ColumnList | null,
];

/** Transactions. */
export interface TransactionOperations {
  commit(): null;
  rollback(): null;
  /**
   * Begins a transaction, waiting at most `timeout` milliseconds for other connections. False when
   * one is open already.
   */
  begin(mode: string, timeout: number): boolean;
  /** Ends the transaction that `begin` began. */
  end(command: "COMMIT" | "ROLLBACK"): null;
  /** Sets or releases a savepoint. */
  control(sql: string): null;
  /** Goes back to a savepoint, whatever comes in between. */
  undo(sql: string): null;
  /** Ends results from that one on and, if one is open, the transaction: for whoever comes next. */
  tidy(since: number): null;
  setIsolationLevel(level: IsolationLevel): null;
  /** What is in force then: what was before, if it has failed. */
  setAutocommit(autocommit: Autocommit): Autocommit;
}

/** What concerns the connection as a whole. */
export interface ControlOperations {
  /** Sets a limit, or with -1 only asks; the value it had. */
  limit(category: number, value: number): number;
  /** Sets an option, or with null only asks; the value it has. */
  config(op: number, on: boolean | null): boolean;
  serialize(name: string): Uint8Array;
  deserialize(bytes: Uint8Array, name: string): null;
  enableLoadExtension(enabled: boolean): null;
  loadExtension(path: string, entryPoint: string | null): null;
  checkpoint(name: string, mode: number): readonly [log: number, checkpointed: number];
}

/** Values that are read and written in parts. */
export interface BlobOperations {
  openBlob(
    name: string,
    table: string,
    column: string,
    rowid: bigint,
    readonly: boolean,
  ): readonly [blob: number, length: number];
  readBlob(blob: number, offset: number, length: number): Uint8Array;
  writeBlob(blob: number, offset: number, bytes: Uint8Array): null;
  closeBlob(blob: number): null;
}

/** Functions of main that SQLite calls: each has a number; null is for none any more. */
export interface HookOperations {
  createFunction(name: string, argCount: number, flags: number, hook: number | null): null;
  /** A function that a module exports, to be called in the thread itself. */
  createModuleFunction(
    name: string,
    argCount: number,
    flags: number,
    module: string,
    exported: string,
  ): Promise<null>;
  /** `window` when it has the methods of a window function, too. */
  createAggregate(name: string, argCount: number, window: boolean, hook: number | null): null;
  createCollation(name: string, hook: number | null): null;
  setAuthorizer(hook: number | null): null;
  setProgressHandler(hook: number | null, instructions: number): null;
  setTraceCallback(hook: number | null): null;
  setUpdateHook(hook: number | null): null;
  setCommitHook(hook: number | null): null;
  setRollbackHook(hook: number | null): null;
}

/** Recorded changes. */
export interface SessionOperations {
  createSession(name: string, table: string | null): number;
  sessionChanges(session: number, patch: boolean): Uint8Array;
  closeSession(session: number): null;
  applyChangeset(changes: Uint8Array, filter: number | null, conflict: number | null): null;
}

export type BackupStep = readonly [status: number, remaining: number, total: number];

/** Copying to the database of another connection, which lends its handle. */
export interface BackupOperations {
  /** Before another thread uses the handle: nothing may call back into this one. */
  lend(): null;
  takeBack(): null;
  startBackup(target: bigint | number, targetName: string, name: string): number;
  stepBackup(backup: number, pages: number): BackupStep;
  finishBackup(backup: number): null;
}

/**
 * Each operation with its request and its reply. Rows come before the reply, in batches.
 *
 * A `slot` numbers a statement that both sides keep; its text is sent only when it is new there.
 * Slot -1 keeps nothing. A `result` numbers the rows of one execution while they are not
 * read to their end.
 */
export interface Operations
  extends
    TransactionOperations,
    ControlOperations,
    BlobOperations,
    BackupOperations,
    HookOperations,
    SessionOperations {
  open(
    filename: string,
    flags: number,
    trustedSchema: boolean,
    timeout: number,
    isolationLevel: IsolationLevel,
    autocommit: Autocommit,
    detectTypes: number,
    library: string,
  ): readonly [
    handle: bigint | number,
    lengthLimit: number,
    sqlLengthLimit: number,
    /** Whether the worker can look during a call whether that has been cancelled. */
    looks: boolean,
  ];
  /** `rows`: how many to send at least if there are as many; -1 is all, -2 is just one. */
  execute(
    result: number,
    slot: number,
    sql: string | null,
    parameters: Span,
    rows: number,
  ): Executed;
  /** `continued` when it carries on with more parameter sets; nothing is done if one has failed. */
  executeMany(
    result: number,
    slot: number,
    sql: string | null,
    sets: Span,
    continued: boolean,
  ): Executed;
  executeScript(sql: string): null;
  /** More rows of a result, `rows` as above; true when these were the last. */
  fetch(result: number, rows: number): boolean;
  /** Forgets the rest of a result. */
  reset(result: number): null;
  /** Whether a statement reads only, as SQLite says; it is not run. */
  isReadonly(sql: string): boolean;
  /** Columns of these types are read as the bytes of their text or blob. */
  setConverters(keys: readonly string[]): null;
  close(): null;
}

/** Those that have classes of their own. */
export type PartOperations =
  & TransactionOperations
  & ControlOperations
  & BlobOperations
  & BackupOperations
  & HookOperations
  & SessionOperations;

export type Operation = keyof Operations;
export type Request<O extends Operation> = Parameters<Operations[O]>;
export type Reply<O extends Operation> = Awaited<ReturnType<Operations[O]>>;

/**
 * Bytes of a statement's request at most. Whether there is memory for it has to be known before the
 * statement cache takes its text for told.
 */
export function requestSize(sql: string, parameters: Span): number {
  return 3 * sql.length + parameters.length + 64;
}

/** The operations by the number that stands for them in a message. */
export const OPERATIONS = [
  "open",
  "execute",
  "executeMany",
  "executeScript",
  "fetch",
  "reset",
  "commit",
  "rollback",
  "begin",
  "end",
  "control",
  "undo",
  "isReadonly",
  "tidy",
  "limit",
  "config",
  "serialize",
  "deserialize",
  "enableLoadExtension",
  "loadExtension",
  "checkpoint",
  "openBlob",
  "readBlob",
  "writeBlob",
  "closeBlob",
  "lend",
  "takeBack",
  "startBackup",
  "stepBackup",
  "finishBackup",
  "createFunction",
  "createModuleFunction",
  "createAggregate",
  "createCollation",
  "setAuthorizer",
  "setProgressHandler",
  "setTraceCallback",
  "setUpdateHook",
  "setCommitHook",
  "setRollbackHook",
  "createSession",
  "sessionChanges",
  "closeSession",
  "applyChangeset",
  "setConverters",
  "setIsolationLevel",
  "setAutocommit",
  "close",
] as const satisfies readonly Operation[];

/** Added to an operation's number: the call may be cancelled. */
export const CANCELLABLE = 0x80;

/** In place of a number of rows: all of them; just one, and the rest is not wanted. */
export const ALL = -1;
export const ONE = -2;

/** How a question is answered: with a value, or that there is none. */
export const ANSWERED = 0;
export const THREW = 1;
export const TOO_BIG = 2;

/** What a reply frame is: rows with more to come, the end, a failure, or a question meanwhile. */
export const PART = 0;
export const DONE = 1;
export const FAILED = 2;
export const ASKED = 3;

/** Which class of error a failure becomes, where SQLite's code does not say. */
export type FailureKind =
  | "sqlite"
  | "ProgrammingError"
  | "DataError"
  | "InterfaceError"
  | "OperationalError"
  | "InternalError"
  | "NotSupportedError"
  | "Cancelled";

/** A failure, as data. */
export class Failure {
  readonly kind: FailureKind;
  readonly message: string;
  /** Extended result code, or -1. */
  readonly errno: number;
  /** Byte offset in the SQL, or -1. */
  readonly offset: number;
  /** What is to be thrown in its place, such as a signal's reason; does not cross the thread. */
  readonly reason: unknown;
  /** What a hook has thrown, which lies behind it; does not cross the thread either. */
  thrown: { readonly error: unknown } | undefined;
  constructor(kind: FailureKind, message: string, errno = -1, offset = -1, reason?: unknown) {
    this.kind = kind;
    this.message = message;
    this.errno = errno;
    this.offset = offset;
    this.reason = reason;
  }
}

/** What a call fails with that a signal has ended. */
export function cancelledBy(signal: Signal): Failure {
  return new Failure("Cancelled", "", -1, -1, signal.reason);
}

/** Compile-time proof that every request and reply can be coded. */
export type Codable = { [O in Operation]: Request<O>[number] | Reply<O> }[Operation] extends Plain
  ? true
  : never;
export const CODABLE: Codable = true;
