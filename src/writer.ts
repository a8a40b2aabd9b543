/**
 * The writer of a pool: one connection, and another one in its place should it break.
 *
 * @module
 */
import { type Connection, coreOf } from "./connection.ts";
import { isHeld } from "./hold.ts";
import { closeAnyway, usable } from "./readers.ts";

export class Writer<R> {
  #connection: Connection<R>;
  /** Those that broke while somebody had them, who is not to go on with another. */
  #broken: Connection<R>[] = [];
  readonly #open: (() => Promise<Connection<R>>) | null;
  #replacing: Promise<void> | undefined;

  /** `open` opens another one; null when what was in it would be gone. */
  constructor(connection: Connection<R>, open: (() => Promise<Connection<R>>) | null) {
    this.#connection = connection;
    this.#open = open;
  }

  /** The connection as it is. */
  get connection(): Connection<R> {
    return this.#connection;
  }

  /** The one that the code that is running has for itself. */
  get held(): Connection<R> | undefined {
    if (isHeld(this.#connection)) return this.#connection;
    return this.#broken.length > 0 ? this.#broken.find(isHeld) : undefined;
  }

  /** Does something on the one that the caller has for itself, or else on one that works. */
  use<T>(run: (connection: Connection<R>) => Promise<T>): Promise<T> {
    const { held } = this;
    if (held) return run(held);
    const open = usable(this.#connection) ? null : this.#open;
    return open ? this.#useNew(open, run) : run(this.#connection);
  }

  /** Closes it. */
  async close(): Promise<void> {
    await this.#replacing?.catch(() => {});
    await closeAnyway(this.#connection);
  }

  async #useNew<T>(
    open: () => Promise<Connection<R>>,
    run: (connection: Connection<R>) => Promise<T>,
  ): Promise<T> {
    await (this.#replacing ??= this.#replace(open));
    return await run(this.#connection);
  }

  async #replace(open: () => Promise<Connection<R>>): Promise<void> {
    try {
      const connection = await open();
      const gone = [this.#connection, ...this.#broken];
      this.#connection = connection;
      this.#broken = gone.filter((one) => coreOf(one).scope.held);
    } finally {
      this.#replacing = undefined;
    }
  }
}
