/**
 * Binds encoded parameters to a statement.
 *
 * @module
 */
import type { Statement } from "../../ffi/statement.ts";
import { plus } from "../../ffi/memory.ts";
import type { Database } from "../../ffi/sqlite.ts";
import type { Address } from "../../ffi/types.ts";
import {
  FLOAT,
  INT32,
  INT64,
  MAPPING,
  NONE,
  NULL,
  Reader,
  REFUSED,
  type Span,
  TEXT,
} from "./codec.ts";
import { Failure, type FailureKind } from "./protocol.ts";

/** Parameter sets: a reader of them, and where C finds them. */
export class ParameterReader extends Reader {
  /** Where they end. */
  readonly end: number;
  readonly #database: Database;
  readonly #span: Span;
  #address: Address = 0n;

  constructor(database: Database, span: Span) {
    super(span.bytes, span.view, span.start);
    this.end = span.end;
    this.#database = database;
    this.#span = span;
  }

  /** The address of what the reader stands on: it is copied to C's memory when first asked for. */
  address(): Address {
    this.#address ||= this.#database.hold(this.#span.subarray());
    return plus(this.#address, this.at - this.#span.start);
  }
}

/** Binds the parameter set that is next. */
export function bindParameters(statement: Statement, reader: ParameterReader): void {
  const kind = reader.u8();
  const given = kind === NONE ? 0 : reader.u32();
  if (kind === MAPPING) bindMapping(statement, reader, given);
  else bindSequence(statement, reader, given);
}

function bindSequence(
  statement: Statement,
  reader: ParameterReader,
  given: number,
): void {
  const wanted = statement.parameterCount;
  if (given !== wanted) {
    throw new Failure(
      "ProgrammingError",
      "Incorrect number of bindings supplied. The current statement uses " +
        `${wanted}, and there ${given === 1 ? "is" : "are"} ${given} supplied.`,
    );
  }
  if (given === 0) return;
  const named = statement.firstNamed;
  if (named >= 0) {
    throw new Failure(
      "ProgrammingError",
      `Binding ${named + 1} ('${statement.parameterNames[named]}') is a named parameter, ` +
        "but you supplied a sequence which requires nameless (qmark) placeholders.",
    );
  }
  for (let i = 1; i <= given; i++) bindValue(statement, i, reader);
}

function bindMapping(
  statement: Statement,
  reader: ParameterReader,
  given: number,
): void {
  const positions = new Map<string, number>();
  for (let i = 0; i < given; i++) {
    const name = reader.value() as string;
    positions.set(name, reader.at);
    reader.skip();
  }
  const end = reader.at;
  statement.parameterNames.forEach((name, i) => {
    if (name === null || name[0] === "?") {
      throw new Failure(
        "ProgrammingError",
        `Binding ${i + 1} has no name, but you supplied a mapping (which has only names).`,
      );
    }
    const at = positions.get(name.slice(1));
    if (at === undefined) {
      throw new Failure(
        "ProgrammingError",
        `You did not supply a value for binding parameter ${name}.`,
      );
    }
    reader.at = at;
    bindValue(statement, i + 1, reader);
  });
  reader.at = end;
}

function bindValue(
  statement: Statement,
  index: number,
  reader: ParameterReader,
): void {
  const tag = reader.u8();
  switch (tag) {
    case NULL:
      return statement.bindNull(index);
    case INT32:
      return statement.bindInt(index, reader.i32());
    case INT64:
      return statement.bindInt64(index, reader.i64());
    case FLOAT:
      return statement.bindDouble(index, reader.f64());
    case REFUSED: {
      const [kind, message, errno] = reader.value() as [FailureKind, string, number];
      const name = statement.parameterNames[index - 1];
      throw new Failure(kind, `Error binding parameter ${name}: ${message}`, errno);
    }
    default: {
      const length = reader.u32();
      if (tag === TEXT) statement.bindText(index, reader.address(), length);
      else statement.bindBlob(index, reader.address(), length);
      reader.at += length;
    }
  }
}
