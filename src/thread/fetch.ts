/**
 * Steps through a result and writes its rows to batches.
 *
 * @module
 */
import { SQLITE_INTERRUPT } from "../../ffi/result_codes.ts";
import { SqliteFailure } from "../../ffi/failure.ts";
import { clock } from "./clock.ts";
import { ALL, type ColumnList, ONE } from "./protocol.ts";
import type { BatchWriter } from "./rows.ts";
import type { Run } from "./statements.ts";
import type { Types } from "./types.ts";

/** A batch that has reached this many bytes is sent: at most a few milliseconds to decode. */
const BATCH_BYTES = 1 << 16;
/** As many batches are sent at once, so that the next ones are made while these are decoded. */
const BATCHES = 4;
/** When the rows asked for are there, more are added for this many milliseconds. */
const EXTRA_TIME = 2;

/** Where rows go: batches of the reply that is being made. */
export interface Rows {
  /** Starts a batch. */
  begin(): BatchWriter;
  /** Sends the batch ahead of the reply, with the columns if they are new, and starts another. */
  next(columns: ColumnList | null): void;
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
        if (batch.length >= BATCH_BYTES) rows.next(types && prepared.describe(types));
      } while (prepared.changes ? stepChanging(run) : statement.step());
      more = false;
    } else {
      const deadline = wanted === ONE ? 0 : clock.now() + EXTRA_TIME;
      let left = types ? 1 : BATCHES; // the first rows come soon
      let sent = 0;
      do {
        batch.add(source);
        if (wanted === ONE) more = false; // nobody will ask for what follows
        else if (batch.length >= BATCH_BYTES) {
          if (--left === 0) break;
          sent += batch.rowCount;
          rows.next(null);
        }
      } while (
        more && !isEnough(sent + batch.rowCount, wanted, deadline) && (more = advance(run, explain))
      );
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

/** Whether the rows asked for are there, and the time for more is over. */
function isEnough(rowCount: number, wanted: number, deadline: number): boolean {
  // Reading the clock costs about as much as a row, so it is looked at less and less often.
  return rowCount >= wanted && (rowCount < 16 || (rowCount & 15) === 0) &&
    clock.now() >= deadline;
}
