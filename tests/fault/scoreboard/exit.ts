/**
 * S15: a program that ends in one way, in one state.
 *
 * @module
 */
import process from "node:process";
import { connect } from "../../../mod.ts";
import { NUMBERS, pause } from "./measure.ts";

const [path = "", how = "", state = ""] = process.argv.slice(2);

const db = await connect(path);
await db.execute("PRAGMA journal_mode = WAL");
await db.execute("CREATE TABLE t (x)");
await db.execute("INSERT INTO t VALUES ('committed')");
await db.commit();

if (state === "in a query") {
  // By itself a program ends only when it has its answers.
  const rows = how === "natural" ? "LIMIT 1000000" : "";
  db.execute(`${NUMBERS} SELECT count(*) FROM (SELECT i FROM n ${rows})`)
    .then(() => console.log(`ends ${Date.now()}`), () => {});
  await pause(50);
} else if (state === "in a transaction") {
  const tx = await db.transaction({ mode: "IMMEDIATE" });
  await tx.execute("INSERT INTO t VALUES ('not committed')");
}

const end = () => console.log(`ends ${Date.now()}`);
switch (how) {
  case "natural":
    process.exitCode = 5;
    if (state !== "in a query") end();
    break;
  case "process.exit()":
    end();
    process.exit(7);
    break;
  case "uncaught error":
    setTimeout(() => {
      end();
      throw new Error("uncaught");
    }, 10);
    break;
  case "SIGTERM, handled":
    process.on("SIGTERM", () => process.exit(9));
    /* falls through */
  case "SIGTERM":
    setInterval(() => {}, 1000); // something else to do
    console.log("ready");
}
