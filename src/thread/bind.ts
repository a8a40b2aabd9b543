/**
 * Binds encoded parameters to a statement.
 *
 * @module
 */
import type { Statement } from "../../ffi/statement.ts";
import type { Address } from "../../ffi/types.ts";
import { FLOAT, INT32, INT64, MAPPING, NONE, NULL, type Reader, REFUSED, TEXT } from "./codec.ts";
import { Failure, type FailureKind } from "./protocol.ts";

/**
 * Binds the parameter set that the reader stands on. `values` tells the address at which C finds
 * the reader's bytes; it is asked only if there is a text or a blob to bind.
 */
export function bindParameters(statement: Statement, reader: Reader, values: () => Address): void {
  const kind = reader.u8();
  const given = kind === NONE ? 0 : reader.u32();
  if (kind === MAPPING) bindMapping(statement, reader, given, values);
  else bindSequence(statement, reader, given, values);
}

function bindSequence(
  statement: Statement,
  reader: Reader,
  given: number,
  values: () => Address,
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
  for (let i = 1; i <= given; i++) bindValue(statement, i, reader, values);
}

function bindMapping(
  statement: Statement,
  reader: Reader,
  given: number,
  values: () => Address,
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
    bindValue(statement, i + 1, reader, values);
  });
  reader.at = end;
}

function bindValue(
  statement: Statement,
  index: number,
  reader: Reader,
  values: () => Address,
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
      if (tag === TEXT) statement.bindText(index, values(), reader.at, length);
      else statement.bindBlob(index, values(), reader.at, length);
      reader.at += length;
    }
  }
}
