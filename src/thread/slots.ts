/**
 * The main-thread half of the statement cache: which SQL text is kept in which slot.
 *
 * @module
 */

/** Longer texts are not kept: they are hardly run twice. */
const LONGEST = 1 << 16;

/** A statement as both sides know it; `D` is what this side keeps of its columns. */
export interface KnownStatement<D> {
  /** The worker's slot, or -1 when it keeps nothing. */
  readonly slot: number;
  readonly sql: string;
  /** The columns, once they are known. */
  columns: D | null;
}

/** Statements by text, the least recently used given up first. */
export class StatementCache<D> {
  readonly #capacity: number;
  readonly #known = new Map<string, KnownStatement<D>>();
  #latest: KnownStatement<D> | undefined;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  /** The statement of a text, and the text itself if the worker has to be told it. */
  get(sql: string): [KnownStatement<D>, string | null] {
    if (this.#latest?.sql === sql) return [this.#latest, null];
    const known = this.#known.get(sql);
    if (known) {
      this.#known.delete(sql);
      return [this.#keep(known), null];
    }
    if (this.#capacity === 0 || sql.length > LONGEST) {
      return [{ slot: -1, sql, columns: null }, sql];
    }
    return [this.#keep({ slot: this.#freeSlot(), sql, columns: null }), sql];
  }

  #keep(statement: KnownStatement<D>): KnownStatement<D> {
    this.#known.set(statement.sql, statement);
    return this.#latest = statement;
  }

  #freeSlot(): number {
    if (this.#known.size < this.#capacity) return this.#known.size;
    const [oldest] = this.#known.values();
    this.#known.delete(oldest!.sql);
    return oldest!.slot;
  }
}
