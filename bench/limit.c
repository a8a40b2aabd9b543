/* The same work straight in C: what is left for any driver to add to. Prints milliseconds as JSON. */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ROUNDS 7
#define POINTS 1000
#define SINGLES 200

static sqlite3 *db;
static long inserts;
/* Printed in the end, for the compiler not to leave out what nobody uses. */
static double sum;

static void check(int rc) {
  if (rc == SQLITE_OK || rc == SQLITE_ROW || rc == SQLITE_DONE) return;
  fprintf(stderr, "%s\n", sqlite3_errmsg(db));
  exit(1);
}

static void run(const char *sql) { check(sqlite3_exec(db, sql, 0, 0, 0)); }

static sqlite3_stmt *prepare(const char *sql) {
  sqlite3_stmt *statement;
  check(sqlite3_prepare_v2(db, sql, -1, &statement, 0));
  return statement;
}

/* Copies a text, as every driver has to. */
static void read_text(sqlite3_stmt *statement, int column) {
  char copy[64];
  const unsigned char *text = sqlite3_column_text(statement, column);
  int length = sqlite3_column_bytes(statement, column);
  memcpy(copy, text, length < 64 ? length : 64);
  sum += length + copy[0];
}

static void point(void) {
  static sqlite3_stmt *statement;
  if (!statement) statement = prepare("SELECT name FROM big WHERE id = ?");
  for (int i = 1; i <= POINTS; i++) {
    sqlite3_bind_int(statement, 1, i);
    check(sqlite3_step(statement));
    read_text(statement, 0);
    sqlite3_reset(statement);
  }
}

static void scan(void) {
  static sqlite3_stmt *statement;
  int rc;
  if (!statement) statement = prepare("SELECT id, x, name, n FROM big");
  while ((rc = sqlite3_step(statement)) == SQLITE_ROW) {
    sum += sqlite3_column_int64(statement, 0) + sqlite3_column_double(statement, 1);
    read_text(statement, 2);
    sum += sqlite3_column_int64(statement, 3);
  }
  check(rc);
  sqlite3_reset(statement);
}

static void many(void) {
  run("BEGIN; CREATE TABLE target (id INTEGER PRIMARY KEY, x REAL, name TEXT, n INTEGER)");
  sqlite3_stmt *statement = prepare("INSERT INTO target VALUES (?, ?, ?, ?)");
  char name[32];
  for (long i = 0; i < inserts; i++) {
    int length = snprintf(name, sizeof name, "name %ld", i);
    sqlite3_bind_int64(statement, 1, i);
    sqlite3_bind_double(statement, 2, i * 0.5);
    sqlite3_bind_text(statement, 3, name, length, SQLITE_TRANSIENT);
    sqlite3_bind_int64(statement, 4, i % 7);
    check(sqlite3_step(statement));
    sqlite3_reset(statement);
  }
  sqlite3_finalize(statement);
  run("ROLLBACK");
}

/* The file is in WAL mode by then. */
static void single(void) {
  static sqlite3_stmt *statement;
  if (!statement) statement = prepare("INSERT INTO log (what) VALUES (?)");
  for (int i = 0; i < SINGLES; i++) {
    sqlite3_bind_text(statement, 1, "happened", 8, SQLITE_TRANSIENT);
    check(sqlite3_step(statement));
    sqlite3_reset(statement);
  }
}

static int compare(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static double median(void (*work)(void)) {
  double times[ROUNDS];
  work();
  for (int i = 0; i < ROUNDS; i++) {
    struct timespec start, end;
    clock_gettime(CLOCK_MONOTONIC, &start);
    work();
    clock_gettime(CLOCK_MONOTONIC, &end);
    times[i] = (end.tv_sec - start.tv_sec) * 1e3 + (end.tv_nsec - start.tv_nsec) / 1e6;
  }
  qsort(times, ROUNDS, sizeof *times, compare);
  return times[ROUNDS / 2];
}

int main(int count, char **arguments) {
  if (count != 3) return 2;
  inserts = atol(arguments[2]);
  /* As the driver does: one thread owns the connection. */
  check(sqlite3_open_v2(arguments[1], &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, 0));
  double points = median(point), scans = median(scan), manys = median(many);
  run("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
      "CREATE TABLE log (id INTEGER PRIMARY KEY, what TEXT)");
  double singles = median(single);
  printf("{\"point\":%.4f,\"flight\":%.4f,\"arrays\":%.4f,\"objects\":%.4f,\"rows\":%.4f,"
         "\"iterate\":%.4f,\"many\":%.4f,\"single\":%.4f}\n",
         points, points, scans, scans, scans, scans, manys, singles);
  fprintf(stderr, sum > 0 ? "" : "nothing was read\n");
  return 0;
}
