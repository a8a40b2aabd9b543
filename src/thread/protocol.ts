/**
 * What the two halves of a connection say to each other. Types only.
 *
 * @module
 */
import type { Signal } from "./abort.ts";
import type { Plain } from "./codec.ts";

/** When a statement begins a transaction by itself; null is never. */
export type IsolationLevel = "DEFERRED" | "IMMEDIATE" | "EXCLUSIVE" | null;

/** Who controls transactions: the isolation level (as ever), SQLite alone, or PEP 249. */
export type Autocommit = "legacy" | boolean;

/** A result's columns: name and declared type. */
export type ColumnList = readonly (readonly [name: string, declaredType: string | null])[];

/** What is left to know once a statement has run. */
export type Executed = readonly [
  /** All rows have been sent, and the statement is reset. */
  ended: boolean,
  /** Rows changed, or -1. */
  rowCount: number,
  /** The rowid inserted, or null when none was. */
  lastRowId: number | bigint | null,
  /** The columns, unless they are those that were sent for this slot before. */
  columns: ColumnList | null,
];

/**
 * Each operation with its request and its reply. Rows come before the reply, in batches.
 *
 * A `slot` numbers a statement that both sides keep; its text is sent only when it is new there.
 * Slot -1 keeps nothing. A `result` numbers the rows of one execution while they are not
 * read to their end.
 */
export interface Operations {
  open(
    filename: string,
    flags: number,
    trustedSchema: boolean,
    timeout: number,
    isolationLevel: IsolationLevel,
    autocommit: Autocommit,
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
    parameters: Uint8Array,
    rows: number,
  ): Executed;
  /** `continued` when it carries on with more parameter sets; nothing is done if one has failed. */
  executeMany(
    result: number,
    slot: number,
    sql: string | null,
    sets: Uint8Array,
    continued: boolean,
  ): Executed;
  executeScript(sql: string): null;
  /** More rows of a result, `rows` as above; true when these were the last. */
  fetch(result: number, rows: number): boolean;
  /** Forgets the rest of a result. */
  reset(result: number): null;
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
  /** Whether a statement reads only, as SQLite says; it is not run. */
  isReadonly(sql: string): boolean;
  /** Ends results from that one on and, if one is open, the transaction: for whoever comes next. */
  tidy(since: number): null;
  setIsolationLevel(level: IsolationLevel): null;
  setAutocommit(autocommit: Autocommit): null;
  close(): null;
}

export type Operation = keyof Operations;
export type Request<O extends Operation> = Parameters<Operations[O]>;
export type Reply<O extends Operation> = ReturnType<Operations[O]>;

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
  "setIsolationLevel",
  "setAutocommit",
  "close",
] as const satisfies readonly Operation[];

/** Added to an operation's number: the call may be cancelled. */
export const CANCELLABLE = 0x80;

/** In place of a number of rows: all of them; just one, and the rest is not wanted. */
export const ALL = -1;
export const ONE = -2;

/** What a reply frame is: rows with more to come, the end, or a failure. */
export const PART = 0;
export const DONE = 1;
export const FAILED = 2;

/** Which class of error a failure becomes, where SQLite's code does not say. */
export type FailureKind =
  | "sqlite"
  | "ProgrammingError"
  | "DataError"
  | "InterfaceError"
  | "OperationalError"
  | "InternalError"
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
