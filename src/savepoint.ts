/**
 * Savepoints.
 *
 * @module
 */
import { ProgrammingError } from "./errors.ts";
import { quoteName } from "./thread/sql.ts";

/** A point in a transaction to go back to. Disposing of it without `release()` goes back to it. */
export class Savepoint implements AsyncDisposable {
  /** Its name. */
  readonly name: string;
  readonly #control: (sql: string) => Promise<void>;
  readonly #undo: () => Promise<void>;
  #released = false;

  /** Made by `savepoint()`. */
  constructor(
    name: string,
    control: (sql: string) => Promise<void>,
    undo: () => Promise<void>,
  ) {
    this.name = name;
    this.#control = control;
    this.#undo = undo;
  }

  /** Undoes what was done since it was set. It stays, and can be gone back to again. */
  async rollbackTo(): Promise<void> {
    this.#check();
    await this.#control(`ROLLBACK TO ${quoteSavepoint(this.name)}`);
  }

  /** Forgets it, and those set after it, keeping what was done. */
  async release(): Promise<void> {
    this.#check();
    this.#released = true;
    await this.#control(`RELEASE ${quoteSavepoint(this.name)}`);
  }

  /** Goes back to it and forgets it, unless it was released. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#released) return;
    this.#released = true;
    await this.#undo();
  }

  #check(): void {
    if (this.#released) throw new ProgrammingError("The savepoint has been released.");
  }
}

/** Any name is safe that SQL text can have. */
export function quoteSavepoint(name: unknown): string {
  if (typeof name !== "string" || name.includes("\0") || !name.isWellFormed()) {
    throw new ProgrammingError("A savepoint's name is a string without null characters");
  }
  return quoteName(name);
}
