import assert from "node:assert/strict";
import { test } from "node:test";
import {
  connect,
  type Connection,
  IntegrityError,
  OperationalError,
  ProgrammingError,
  SQLITE_CHANGESET_ABORT,
  SQLITE_CHANGESET_CONFLICT,
  SQLITE_CHANGESET_CONSTRAINT,
  SQLITE_CHANGESET_DATA,
  SQLITE_CHANGESET_FOREIGN_KEY,
  SQLITE_CHANGESET_NOTFOUND,
  SQLITE_CHANGESET_OMIT,
  SQLITE_CHANGESET_REPLACE,
  SQLITE_DELETE,
  SQLITE_INSERT,
  SQLITE_UPDATE,
  type SqliteError,
} from "../mod.ts";
import { file } from "./helpers.ts";

const plain = { isolationLevel: null } as const;
const SCHEMA =
  "CREATE TABLE t (id INTEGER PRIMARY KEY, x, y); CREATE TABLE u (k TEXT PRIMARY KEY, v)";

/** A connection with two tables and the rows of a script. */
async function database(script = ""): Promise<Connection> {
  const db = await connect(":memory:", plain);
  await db.executeScript(`${SCHEMA};${script}`);
  return db;
}

const rows = (db: Connection, table = "t") =>
  db.executeFetchAll(`SELECT * FROM ${table} ORDER BY 1`);

/** The changes that a script makes to what another one has made. */
async function changes(
  before: string,
  script: string,
  how: "changeset" | "patchset" = "changeset",
) {
  await using db = await database(before);
  await using session = await db.createSession();
  await db.executeScript(script);
  return await session[how]();
}

const aborted = (error: unknown) => {
  assert.ok(error instanceof OperationalError, String(error));
  assert.equal(error.code, "SQLITE_ABORT");
  return true;
};

const BEFORE = "INSERT INTO t VALUES (1, 'one', 1), (2, 'two', 2), (3, 'three', 3)";
const SCRIPT = "INSERT INTO t VALUES (4, 'four', 4);" +
  "UPDATE t SET x = 'TWO' WHERE id = 2; DELETE FROM t WHERE id = 3;" +
  "INSERT INTO u VALUES ('k', x'00ff')";

for (const how of ["changeset", "patchset"] as const) {
  test(`A ${how} of inserts, updates and deletes makes the same elsewhere`, async () => {
    const bytes = await changes(BEFORE, SCRIPT, how);
    assert.ok(bytes instanceof Uint8Array && bytes.length > 0);
    await using other = await database(BEFORE);
    assert.equal(await other.applyChangeset(bytes), undefined);
    assert.deepEqual(await rows(other), [[1, "one", 1], [2, "TWO", 2], [4, "four", 4]]);
    assert.deepEqual(await rows(other, "u"), [["k", new Uint8Array([0, 255])]]);
    assert.equal(other.inTransaction, false);
  });
}

test("A changeset carries every kind of value unchanged", async () => {
  const values = [
    null,
    -1,
    2n ** 63n - 1n,
    -(2n ** 63n),
    1.5,
    -Infinity,
    "",
    "a\0ü😀",
    new Uint8Array(),
    new Uint8Array(100_000).fill(7),
  ];
  await using db = await database();
  await using other = await database();
  await using session = await db.createSession();
  await db.executeMany("INSERT INTO t VALUES (?, ?, ?)", values.map((value, i) => [i, value, i]));
  await other.applyChangeset(await session.changeset());
  assert.deepEqual((await rows(other)).map(([, value]) => value), values);
});

test("A patchset is shorter than a changeset, and both may be asked for again", async () => {
  await using db = await database(BEFORE);
  await using session = await db.createSession();
  assert.deepEqual(await session.changeset(), new Uint8Array());
  assert.deepEqual(await session.patchset(), new Uint8Array());
  await db.execute("DELETE FROM t");
  const [changeset, patchset] = [await session.changeset(), await session.patchset()];
  assert.ok(patchset.length < changeset.length);
  assert.deepEqual(await session.changeset(), changeset);
  await db.executeScript(BEFORE);
  assert.deepEqual(await session.changeset(), new Uint8Array()); // all is as it was
});

test("An empty changeset changes nothing and asks nobody", async () => {
  await using db = await database(BEFORE);
  const refuse = () => assert.fail();
  await db.applyChangeset(new Uint8Array(), { filter: refuse, conflict: refuse });
  assert.equal((await rows(db)).length, 3);
});

test("Bytes are read when the call is made", async () => {
  const bytes = await changes(BEFORE, SCRIPT);
  await using db = await database(BEFORE);
  const larger = new Uint8Array(bytes.length + 20).fill(99);
  larger.set(bytes, 10);
  const view = larger.subarray(10, 10 + bytes.length);
  const applied = db.applyChangeset(view);
  larger.fill(0);
  await applied;
  assert.equal((await rows(db)).length, 3);
});

test("A session records what is done on its own connection only, from its creation on", async () => {
  const path = file();
  await using db = await connect(path, plain);
  await using second = await connect(path, plain);
  await db.executeScript(`${SCHEMA}; ${BEFORE}`);
  await using session = await db.createSession();
  await second.execute("INSERT INTO t VALUES (10, 'other', 0)");
  await db.execute("INSERT INTO t VALUES (11, 'own', 0)");
  await using copy = await database(BEFORE);
  await copy.applyChangeset(await session.changeset());
  assert.deepEqual((await rows(copy)).map(([id]) => id), [1, 2, 3, 11]);
});

test("A session of one table leaves out the others, one of a later table takes it in", async () => {
  await using db = await database();
  await using one = await db.createSession({ table: "u" });
  await using later = await db.createSession({ table: "made later" });
  await db.executeScript(
    'INSERT INTO t VALUES (1, 1, 1); INSERT INTO u VALUES (1, 1); CREATE TABLE "made later" ' +
      '(id INTEGER PRIMARY KEY); INSERT INTO "made later" VALUES (5)',
  );
  await using other = await database('CREATE TABLE "made later" (id INTEGER PRIMARY KEY)');
  await other.applyChangeset(await one.changeset());
  assert.deepEqual([(await rows(other)).length, (await rows(other, "u")).length], [0, 1]);
  await other.applyChangeset(await later.changeset());
  assert.deepEqual(await rows(other, '"made later"'), [[5]]);
});

test("Tables without a primary key are not recorded, and rows with NULL in theirs neither", async () => {
  const script = "CREATE TABLE loose (x); CREATE TABLE made (a, b, PRIMARY KEY (a, b));";
  await using db = await database(script);
  await using session = await db.createSession();
  await db.executeScript(
    "INSERT INTO loose VALUES (1); INSERT INTO made VALUES (1, NULL), (NULL, NULL), (1, 2)",
  );
  await using other = await database(script);
  const tables: string[] = [];
  await other.applyChangeset(await session.changeset(), {
    filter: (table) => tables.push(table),
  });
  assert.deepEqual(tables, ["made"]);
  assert.deepEqual(await rows(other, "made"), [[1, 2]]);
});

test("Tables WITHOUT ROWID, and keys of several columns, are recorded", async () => {
  const script = "CREATE TABLE w (a TEXT, b, c, PRIMARY KEY (a, b)) WITHOUT ROWID;";
  await using db = await database(`${script} INSERT INTO w VALUES ('a', 1, 0), ('a', 2, 0)`);
  await using other = await database(`${script} INSERT INTO w VALUES ('a', 1, 0), ('a', 2, 0)`);
  await using session = await db.createSession();
  await db.executeScript("UPDATE w SET c = 5 WHERE b = 1; DELETE FROM w WHERE b = 2");
  await other.applyChangeset(await session.changeset());
  assert.deepEqual(await rows(other, "w"), [["a", 1, 5]]);
});

test("createSession({ name }) records an attached database, applied to another's main", async () => {
  await using db = await database(
    "ATTACH ':memory:' AS side; CREATE TABLE side.t (id INTEGER PRIMARY KEY, x, y)",
  );
  await using session = await db.createSession({ name: "side" });
  await db.executeScript(
    "INSERT INTO main.t VALUES (1, 0, 0); INSERT INTO side.t VALUES (2, 0, 0)",
  );
  await using other = await database();
  await other.applyChangeset(await session.changeset());
  assert.deepEqual(await rows(other), [[2, 0, 0]]);
});

test("Several sessions at once record each its own time", async () => {
  await using db = await database();
  await using one = await db.createSession();
  await db.execute("INSERT INTO t VALUES (1, 0, 0)");
  await using two = await db.createSession();
  await db.execute("INSERT INTO t VALUES (2, 0, 0)");
  await one.close();
  await db.execute("INSERT INTO t VALUES (3, 0, 0)");
  await using other = await database();
  await other.applyChangeset(await two.changeset());
  assert.deepEqual((await rows(other)).map(([id]) => id), [2, 3]);
  await assert.rejects(one.changeset(), ProgrammingError);
});

test("A rolled back transaction leaves nothing in a session, a committed one all", async () => {
  await using db = await database();
  await using session = await db.createSession();
  await db.transaction(async (tx) => {
    await tx.execute("INSERT INTO t VALUES (1, 0, 0)");
    await tx.rollback();
  });
  assert.deepEqual(await session.changeset(), new Uint8Array());
  const inside = await db.transaction(async (tx) => {
    await tx.execute("INSERT INTO t VALUES (2, 0, 0)");
    return await session.changeset();
  });
  assert.deepEqual(await session.changeset(), inside);
  await using other = await database();
  await other.applyChangeset(inside);
  assert.deepEqual(await rows(other), [[2, 0, 0]]);
});

test("A session may be created and closed within a transaction", async () => {
  await using db = await database();
  const bytes = await db.transaction(async (tx) => {
    await using session = await db.createSession();
    await tx.execute("INSERT INTO t VALUES (2, 0, 0)");
    return await session.changeset();
  });
  assert.ok(bytes.length > 0);
  await db.execute("INSERT INTO t VALUES (3, 0, 0)");
});

test("Changes applied in a transaction are part of it", async () => {
  const bytes = await changes("", "INSERT INTO t VALUES (1, 'new', 0)");
  await using db = await database();
  await assert.rejects(
    db.transaction(async (tx) => {
      await tx.execute("INSERT INTO t VALUES (5, 'own', 0)");
      await db.applyChangeset(bytes);
      assert.equal((await tx.executeFetchAll("SELECT * FROM t")).length, 2);
      throw new RangeError("no");
    }),
    RangeError,
  );
  assert.deepEqual(await rows(db), []);
  await db.transaction(async (tx) => {
    await tx.execute("INSERT INTO t VALUES (5, 'own', 0)");
    await db.applyChangeset(bytes);
    await assert.rejects(db.applyChangeset(bytes), aborted); // undone alone
  });
  assert.deepEqual(await rows(db), [[1, "new", 0], [5, "own", 0]]);
});

test("In legacy mode changes join the transaction that is open, and else commit themselves", async () => {
  const bytes = await changes("", "INSERT INTO t VALUES (1, 'new', 0)");
  await using db = await connect(file());
  await db.executeScript(SCHEMA);
  await db.applyChangeset(bytes);
  assert.equal(db.inTransaction, false);
  await db.execute("DELETE FROM t");
  await db.applyChangeset(bytes);
  assert.equal(db.inTransaction, true);
  await db.rollback();
  assert.deepEqual(await rows(db), [[1, "new", 0]]);
  await db.execute("DELETE FROM t");
  await db.commit();
});

test("filter chooses tables, a truthy result or a promise of one taking them", async () => {
  const bytes = await changes(BEFORE, SCRIPT);
  for (
    const filter of [
      (table: string) => table === "u",
      async (table: string) => await Promise.resolve(table === "u" ? "yes" : ""),
    ]
  ) {
    await using db = await database(BEFORE);
    await db.applyChangeset(bytes, { filter });
    assert.equal((await rows(db)).length, 3);
    assert.equal((await rows(db, "u")).length, 1);
  }
  await using db = await database();
  await db.applyChangeset(bytes, { filter: () => false });
  assert.deepEqual(await rows(db), []);
});

test("A throw in filter makes none of the changes and is the cause", async () => {
  const bytes = await changes(BEFORE, SCRIPT);
  for (const last of ["t", "u"]) {
    await using db = await database(BEFORE);
    const thrown = new RangeError(last);
    const filter = (table: string) => {
      if (table === last) throw thrown;
      return true;
    };
    const rejection = assert.rejects(db.applyChangeset(bytes, { filter }), (error) => {
      assert.ok(error instanceof OperationalError, String(error));
      assert.equal(error.cause, thrown);
      return true;
    });
    await rejection;
    assert.deepEqual(await rows(db), [[1, "one", 1], [2, "two", 2], [3, "three", 3]]);
    assert.deepEqual(await rows(db, "u"), []);
    assert.equal(db.inTransaction, false);
    await db.applyChangeset(bytes);
  }
});

test("A throw in filter within a transaction undoes the changes alone", async () => {
  const bytes = await changes(BEFORE, SCRIPT);
  await using db = await database(BEFORE);
  await db.transaction(async (tx) => {
    await tx.execute("DELETE FROM t WHERE id = 1");
    const filter = (table: string) => {
      if (table === "u") throw new RangeError();
      return true;
    };
    await assert.rejects(db.applyChangeset(bytes, { filter }), OperationalError);
  });
  assert.deepEqual(await rows(db), [[2, "two", 2], [3, "three", 3]]);
});

interface Case {
  name: string;
  kind: number;
  operation: number;
  /** The script whose change does not fit. */
  script: string;
  /** What the other database has before it, and what it has when the change is replaced. */
  there: string;
  replaced: unknown[][] | "misuse";
}

const CASES: Case[] = [
  {
    name: "DATA of an UPDATE",
    kind: SQLITE_CHANGESET_DATA,
    operation: SQLITE_UPDATE,
    script: "UPDATE t SET x = 'new' WHERE id = 1",
    there: "INSERT INTO t VALUES (1, 'other', 1)",
    replaced: [[1, "new", 1], [9, 0, 0]],
  },
  {
    name: "DATA of a DELETE",
    kind: SQLITE_CHANGESET_DATA,
    operation: SQLITE_DELETE,
    script: "DELETE FROM t WHERE id = 1",
    there: "INSERT INTO t VALUES (1, 'other', 1)",
    replaced: [[9, 0, 0]],
  },
  {
    name: "NOTFOUND",
    kind: SQLITE_CHANGESET_NOTFOUND,
    operation: SQLITE_UPDATE,
    script: "UPDATE t SET x = 'new' WHERE id = 1",
    there: "",
    replaced: "misuse",
  },
  {
    name: "CONFLICT",
    kind: SQLITE_CHANGESET_CONFLICT,
    operation: SQLITE_INSERT,
    script: "INSERT INTO t VALUES (4, 'new', 4)",
    there: "INSERT INTO t VALUES (4, 'other', 5)",
    replaced: [[4, "new", 4], [9, 0, 0]],
  },
  {
    name: "CONSTRAINT",
    kind: SQLITE_CHANGESET_CONSTRAINT,
    operation: SQLITE_INSERT,
    script: "INSERT INTO t VALUES (4, 'new', 4)",
    there: "CREATE UNIQUE INDEX i ON t (x); INSERT INTO t VALUES (5, 'new', 5)",
    replaced: "misuse",
  },
];

for (const { name, kind, operation, script, there, replaced } of CASES) {
  const bytes = () =>
    changes("INSERT INTO t VALUES (1, 'one', 1)", `${script}; INSERT INTO t VALUES (9, 0, 0)`);
  const target = () => database(there);

  test(`Conflict ${name}: OMIT leaves the change out and makes the others`, async () => {
    await using db = await target();
    const before = await rows(db);
    const calls: unknown[][] = [];
    await db.applyChangeset(await bytes(), {
      conflict: async (...call) => {
        calls.push(call);
        return await Promise.resolve(SQLITE_CHANGESET_OMIT);
      },
    });
    assert.deepEqual(calls, [[kind, "t", operation]]);
    assert.deepEqual(await rows(db), [...before, [9, 0, 0]]);
  });

  test(`Conflict ${name}: ABORT, or nothing, or a throw makes none of the changes`, async () => {
    await using db = await target();
    const before = await rows(db);
    const all = await bytes();
    await assert.rejects(db.applyChangeset(all), aborted);
    await assert.rejects(
      db.applyChangeset(all, { conflict: () => SQLITE_CHANGESET_ABORT }),
      aborted,
    );
    const thrown = new RangeError("no answer");
    for (
      const conflict of [() => {
        throw thrown;
      }, () => Promise.reject(thrown)]
    ) {
      await assert.rejects(db.applyChangeset(all, { conflict }), (error) => {
        assert.equal((error as SqliteError).cause, thrown);
        return aborted(error);
      });
    }
    for (const bad of [undefined, null, "1", 1.5, NaN, 2 ** 40, {}, Infinity, 2n ** 62n]) {
      await assert.rejects(db.applyChangeset(all, { conflict: () => bad }), OperationalError);
    }
    assert.deepEqual(await rows(db), before);
    assert.equal(db.inTransaction, false);
  });

  test(`Conflict ${name}: REPLACE`, async () => {
    await using db = await target();
    const before = await rows(db);
    const applied = bytes().then((all) =>
      db.applyChangeset(all, { conflict: () => SQLITE_CHANGESET_REPLACE })
    );
    if (replaced === "misuse") {
      await assert.rejects(applied, { code: "SQLITE_MISUSE" });
      assert.deepEqual(await rows(db), before);
    } else {
      await applied;
      assert.deepEqual(await rows(db), replaced);
    }
  });
}

test("Conflict FOREIGN_KEY: asked for once at the end; OMIT keeps the violation", async () => {
  const script = "PRAGMA foreign_keys = ON; CREATE TABLE c (id INTEGER PRIMARY KEY, " +
    "p INTEGER REFERENCES t DEFERRABLE INITIALLY DEFERRED);";
  const bytes = await (async () => {
    await using db = await database(script + BEFORE);
    await using session = await db.createSession();
    await db.executeScript("INSERT INTO c VALUES (1, 1), (2, 2), (3, 3)");
    return await session.changeset();
  })();
  await using db = await database(`${script} INSERT INTO t VALUES (3, 0, 0)`);
  const calls: number[] = [];
  await assert.rejects(
    db.applyChangeset(bytes, {
      conflict: (kind) => {
        calls.push(kind);
        return SQLITE_CHANGESET_ABORT;
      },
    }),
    IntegrityError,
  );
  assert.deepEqual(calls, [SQLITE_CHANGESET_FOREIGN_KEY]);
  assert.deepEqual(await rows(db, "c"), []);
  // The violation stays for COMMIT, which refuses it: all is undone.
  await db.applyChangeset(bytes, { conflict: () => SQLITE_CHANGESET_OMIT }).catch((error) => {
    assert.ok(error instanceof IntegrityError, String(error));
  });
  assert.equal(db.inTransaction, false);
  await db.executeScript("INSERT INTO t VALUES (1, 0, 0), (2, 0, 0)");
  await db.executeScript("DELETE FROM c");
  await db.applyChangeset(bytes);
  assert.equal((await rows(db, "c")).length, 3);
});

test("A conflict after hundreds of changes undoes them all", async () => {
  const numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 500) ";
  const bytes = await changes("", `${numbers} INSERT INTO t SELECT i, i, i FROM n`);
  await using db = await database("INSERT INTO t VALUES (400, 'here', 0)");
  await assert.rejects(db.applyChangeset(bytes), aborted);
  assert.deepEqual(await rows(db), [[400, "here", 0]]);
  let asked = 0;
  await db.applyChangeset(bytes, { conflict: () => (asked++, SQLITE_CHANGESET_REPLACE) });
  assert.equal(asked, 1);
  assert.equal((await rows(db)).length, 500);
});

test("Handlers can't use the connection that asks them, but any other", async () => {
  const bytes = await changes("", "INSERT INTO t VALUES (1, 'new', 0)");
  await using db = await database("INSERT INTO t VALUES (1, 'here', 0)");
  await using other = await database();
  const errors: unknown[] = [];
  const use = async () => {
    await other.execute("INSERT INTO u VALUES (random(), 0)");
    await db.execute("SELECT 1").catch((error) => errors.push(error));
  };
  await db.applyChangeset(bytes, {
    filter: async () => (await use(), true),
    conflict: async () => (await use(), SQLITE_CHANGESET_OMIT),
  });
  assert.equal((await rows(other, "u")).length, 2);
  assert.equal(errors.length, 2);
  for (const error of errors) assert.ok(error instanceof ProgrammingError);
});

test("Tables that are missing, or have too few columns, are passed over", async () => {
  const bytes = await changes("", "INSERT INTO t VALUES (1, 0, 0); INSERT INTO u VALUES (1, 0)");
  await using db = await connect(":memory:", plain);
  await db.executeScript("CREATE TABLE u (k TEXT PRIMARY KEY); CREATE TABLE t (x, y, z)");
  await db.applyChangeset(bytes);
  assert.deepEqual(await rows(db), []);
  assert.deepEqual(await rows(db, "u"), []);
});

test("Bytes that are no changeset, or a damaged one, reject and change nothing", async () => {
  const bytes = await changes(BEFORE, SCRIPT);
  await using db = await database(BEFORE);
  const before = await rows(db);
  const bad = [
    new Uint8Array([1]),
    new TextEncoder().encode("SELECT 1"),
    bytes.subarray(0, bytes.length - 1),
    bytes.subarray(0, 20),
    bytes.subarray(3),
  ];
  for (const broken of bad) {
    await assert.rejects(db.applyChangeset(broken), { code: "SQLITE_CORRUPT" });
    assert.deepEqual(await rows(db), before);
  }
  // Cut off anywhere it is refused as a whole; between two changes there is nothing to notice.
  let whole = 0;
  for (let length = 1; length < bytes.length; length++) {
    try {
      await db.applyChangeset(bytes.subarray(0, length));
      whole++;
      await db.executeScript(`DELETE FROM t; DELETE FROM u; ${BEFORE}`);
    } catch (error) {
      assert.equal((error as SqliteError).code, "SQLITE_CORRUPT");
      assert.deepEqual(await rows(db), before);
    }
  }
  assert.ok(whole > 0 && whole < 20, `${whole}`);
  await db.applyChangeset(bytes);
});

test("Bad arguments are refused", async () => {
  await using db = await database();
  for (const bad of [null, undefined, "changes", [], [1, 2], new ArrayBuffer(4), 1]) {
    await assert.rejects(db.applyChangeset(bad as unknown as Uint8Array), ProgrammingError);
  }
  for (const bad of [null, "f", 1, {}]) {
    for (const option of ["filter", "conflict"]) {
      await assert.rejects(
        db.applyChangeset(new Uint8Array(), { [option]: bad }),
        ProgrammingError,
        `${option} ${bad}`,
      );
    }
  }
  for (const bad of [1, null, "ma\0in", "\ud800"]) {
    for (const option of ["name", "table"]) {
      await assert.rejects(
        (async () => await db.createSession({ [option]: bad as string }))(),
        ProgrammingError,
        `${option} ${JSON.stringify(bad)}`,
      );
    }
  }
});

test("A session that is closed, or whose connection is, rejects; closing again is fine", async () => {
  const db = await database();
  const session = await db.createSession();
  const other = await db.createSession();
  await session.close();
  await session.close();
  const closed = { name: "ProgrammingError", message: "Cannot operate on a closed session." };
  await assert.rejects(session.changeset(), closed);
  await assert.rejects(session.patchset(), closed);
  await db.close();
  const gone = { name: "ProgrammingError", message: "Cannot operate on a closed database." };
  await assert.rejects(other.changeset(), gone);
  await assert.rejects(other.patchset(), gone);
  await other.close();
  await assert.rejects((async () => await db.createSession())(), gone);
  await assert.rejects(db.applyChangeset(new Uint8Array()), gone);
});

test("await using of what createSession() returns ends the recording", async () => {
  await using db = await database();
  let kept;
  {
    await using session = await db.createSession();
    await db.execute("INSERT INTO t VALUES (1, 0, 0)");
    kept = session;
    assert.ok((await session.changeset()).length > 0);
  }
  await assert.rejects(kept.changeset(), ProgrammingError);
});

test("close() with sessions open, and in a handler of applyChangeset()", async () => {
  const bytes = await changes("", "INSERT INTO t VALUES (1, 'new', 0)");
  const db = await database("INSERT INTO t VALUES (1, 'here', 0)");
  await db.createSession();
  await db.createSession({ table: "t" });
  let closing: Promise<void> | undefined;
  await db.applyChangeset(bytes, {
    conflict: () => {
      closing = db.close();
      return SQLITE_CHANGESET_OMIT;
    },
  });
  await closing;
  await db.close();
});

test("A table altered under a session: its changes are refused, not wrong", async () => {
  await using db = await database();
  await using session = await db.createSession();
  await db.execute("INSERT INTO t VALUES (1, 0, 0)");
  await db.executeScript("DROP TABLE t; CREATE TABLE t (a, b, c, d, PRIMARY KEY (b))");
  await assert.rejects(session.changeset(), { name: "OperationalError", code: "SQLITE_SCHEMA" });
});

test("Applied changes count, and the next statement's counts are its own", async () => {
  const bytes = await changes("", "INSERT INTO t VALUES (7, 'new', 0)");
  await using db = await database("INSERT INTO u VALUES ('k', 0)");
  await db.execute("SELECT 1");
  const before = db.totalChanges;
  await db.applyChangeset(bytes);
  const cursor = db.cursor();
  await cursor.execute("INSERT OR IGNORE INTO u VALUES ('k', 1)");
  assert.deepEqual([cursor.rowCount, cursor.lastRowId], [0, undefined]);
  assert.equal(db.totalChanges, before + 1);
});
