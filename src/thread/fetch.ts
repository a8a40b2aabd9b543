/**
 * Steps through a result and writes its rows to batches.
 *
 * @module
 */
import { SQLITE_INTERRUPT } from "../../ffi/result_codes.ts";
import { SqliteFailure } from "../../ffi/failure.ts";
import { ALL, ONE } from "./protocol.ts";
import type { BatchWriter } from "./rows.ts";
import type { Run } from "./statements.ts";
import type { Types } from "./types.ts";

/** A batch that has reached this many bytes is sent: at most a few milliseconds to decode. */
const BATCH_BYTES = 1 << 16;
/** A batch that has the rows asked for is filled further for this many milliseconds. */
const BATCH_TIME = 2;

/** Where rows go: batches of the reply that is being made. */
export interface Rows {
  /** Starts a batch. */
  begin(): BatchWriter;
  /** Sends the batch ahead of the reply and starts another. */
  next(): void;
  /** Ends the batch, which goes with the reply. */
  end(): void;
}

/**
 * Hands out rows: at least as many as asked for, and more while that is quick. True at the end.
 * `types` are given the first time.
 * `explain` tells what an error means; one that comes after rows is kept until these are out.
 */
export function fetchRows(
  run: Run,
  wanted: number,
  types: Types | null,
  rows: Rows,
  explain: (error: unknown) => unknown,
): boolean {
  const { prepared, statement } = run;
  let more = prepared.changes ? stepChanging(run) : statement.step();
  if (types) {
    prepared.refresh();
    run.source = prepared.source(types);
  }
  if (!more) return true;
  const { source } = run;
  const batch = rows.begin();
  try {
    if (wanted === ALL) {
      do {
        batch.add(source);
        if (batch.length >= BATCH_BYTES) rows.next();
      } while (prepared.changes ? stepChanging(run) : statement.step());
      more = false;
    } else {
      const deadline = wanted === ONE ? 0 : performance.now() + BATCH_TIME;
      do {
        batch.add(source);
        if (wanted === ONE) more = false; // nobody will ask for what follows
      } while (more && !isEnough(batch, wanted, deadline) && (more = advance(run, explain)));
    }
    rows.end();
  } catch (error) {
    statement.database.dropText();
    throw error;
  }
  return !more && run.failure === undefined;
}

/** A step of one that changes rows. SQLite may say that it was interrupted when it is done already. */
function stepChanging({ statement, changesBefore }: Run): boolean {
  try {
    return statement.step();
  } catch (error) {
    const interrupted = error instanceof SqliteFailure && error.errno === SQLITE_INTERRUPT;
    if (!interrupted || statement.database.totalChanges() === changesBefore) throw error;
    return false;
  }
}

/** A step. Should it fail, the rows before are handed out first: more will be asked for. */
function advance(run: Run, explain: (error: unknown) => unknown): boolean {
  try {
    return run.statement.step();
  } catch (error) {
    run.failure = explain(error);
    return false;
  }
}

/** Whether a batch has what was asked for and is as large as it should get. */
function isEnough({ length, rowCount }: BatchWriter, wanted: number, deadline: number): boolean {
  if (length >= BATCH_BYTES) return true;
  // Reading the clock costs about as much as a row, so it is looked at less and less often.
  return rowCount >= wanted && (rowCount < 16 || (rowCount & 15) === 0) &&
    performance.now() >= deadline;
}
