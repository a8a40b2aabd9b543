/**
 * SQLite's result codes (https://sqlite.org/rescode.html).
 *
 * @module
 */

/** Successful result. */
export const SQLITE_OK = 0;
/** Generic error. */
export const SQLITE_ERROR = 1;
/** Internal logic error in SQLite. */
export const SQLITE_INTERNAL = 2;
/** Access permission denied. */
export const SQLITE_PERM = 3;
/** Callback routine requested an abort. */
export const SQLITE_ABORT = 4;
/** The database file is locked. */
export const SQLITE_BUSY = 5;
/** A table in the database is locked. */
export const SQLITE_LOCKED = 6;
/** A malloc() failed. */
export const SQLITE_NOMEM = 7;
/** Attempt to write a readonly database. */
export const SQLITE_READONLY = 8;
/** Operation terminated by sqlite3_interrupt(). */
export const SQLITE_INTERRUPT = 9;
/** Some kind of disk I/O error occurred. */
export const SQLITE_IOERR = 10;
/** The database disk image is malformed. */
export const SQLITE_CORRUPT = 11;
/** Unknown opcode in sqlite3_file_control(). */
export const SQLITE_NOTFOUND = 12;
/** Insertion failed because database is full. */
export const SQLITE_FULL = 13;
/** Unable to open the database file. */
export const SQLITE_CANTOPEN = 14;
/** Database lock protocol error. */
export const SQLITE_PROTOCOL = 15;
/** Internal use only. */
export const SQLITE_EMPTY = 16;
/** The database schema changed. */
export const SQLITE_SCHEMA = 17;
/** String or BLOB exceeds size limit. */
export const SQLITE_TOOBIG = 18;
/** Abort due to constraint violation. */
export const SQLITE_CONSTRAINT = 19;
/** Data type mismatch. */
export const SQLITE_MISMATCH = 20;
/** Library used incorrectly. */
export const SQLITE_MISUSE = 21;
/** Uses OS features not supported on host. */
export const SQLITE_NOLFS = 22;
/** Authorization denied. */
export const SQLITE_AUTH = 23;
/** Not used. */
export const SQLITE_FORMAT = 24;
/** 2nd parameter to sqlite3_bind out of range. */
export const SQLITE_RANGE = 25;
/** File opened that is not a database file. */
export const SQLITE_NOTADB = 26;
/** Notifications from sqlite3_log(). */
export const SQLITE_NOTICE = 27;
/** Warnings from sqlite3_log(). */
export const SQLITE_WARNING = 28;
/** sqlite3_step() has another row ready. */
export const SQLITE_ROW = 100;
/** sqlite3_step() has finished executing. */
export const SQLITE_DONE = 101;

// Extended result codes: the primary code in the low byte.
export const SQLITE_ERROR_MISSING_COLLSEQ = 257;
export const SQLITE_ERROR_RETRY = 513;
export const SQLITE_ERROR_SNAPSHOT = 769;
export const SQLITE_IOERR_READ = 266;
export const SQLITE_IOERR_SHORT_READ = 522;
export const SQLITE_IOERR_WRITE = 778;
export const SQLITE_IOERR_FSYNC = 1034;
export const SQLITE_IOERR_DIR_FSYNC = 1290;
export const SQLITE_IOERR_TRUNCATE = 1546;
export const SQLITE_IOERR_FSTAT = 1802;
export const SQLITE_IOERR_UNLOCK = 2058;
export const SQLITE_IOERR_RDLOCK = 2314;
export const SQLITE_IOERR_DELETE = 2570;
export const SQLITE_IOERR_BLOCKED = 2826;
export const SQLITE_IOERR_NOMEM = 3082;
export const SQLITE_IOERR_ACCESS = 3338;
export const SQLITE_IOERR_CHECKRESERVEDLOCK = 3594;
export const SQLITE_IOERR_LOCK = 3850;
export const SQLITE_IOERR_CLOSE = 4106;
export const SQLITE_IOERR_DIR_CLOSE = 4362;
export const SQLITE_IOERR_SHMOPEN = 4618;
export const SQLITE_IOERR_SHMSIZE = 4874;
export const SQLITE_IOERR_SHMLOCK = 5130;
export const SQLITE_IOERR_SHMMAP = 5386;
export const SQLITE_IOERR_SEEK = 5642;
export const SQLITE_IOERR_DELETE_NOENT = 5898;
export const SQLITE_IOERR_MMAP = 6154;
export const SQLITE_IOERR_GETTEMPPATH = 6410;
export const SQLITE_IOERR_CONVPATH = 6666;
export const SQLITE_IOERR_VNODE = 6922;
export const SQLITE_IOERR_AUTH = 7178;
export const SQLITE_IOERR_BEGIN_ATOMIC = 7434;
export const SQLITE_IOERR_COMMIT_ATOMIC = 7690;
export const SQLITE_IOERR_ROLLBACK_ATOMIC = 7946;
export const SQLITE_IOERR_DATA = 8202;
export const SQLITE_IOERR_CORRUPTFS = 8458;
export const SQLITE_LOCKED_SHAREDCACHE = 262;
export const SQLITE_LOCKED_VTAB = 518;
export const SQLITE_BUSY_RECOVERY = 261;
export const SQLITE_BUSY_SNAPSHOT = 517;
export const SQLITE_BUSY_TIMEOUT = 773;
export const SQLITE_CANTOPEN_NOTEMPDIR = 270;
export const SQLITE_CANTOPEN_ISDIR = 526;
export const SQLITE_CANTOPEN_FULLPATH = 782;
export const SQLITE_CANTOPEN_CONVPATH = 1038;
export const SQLITE_CANTOPEN_DIRTYWAL = 1294;
export const SQLITE_CANTOPEN_SYMLINK = 1550;
export const SQLITE_CORRUPT_VTAB = 267;
export const SQLITE_CORRUPT_SEQUENCE = 523;
export const SQLITE_CORRUPT_INDEX = 779;
export const SQLITE_READONLY_RECOVERY = 264;
export const SQLITE_READONLY_CANTLOCK = 520;
export const SQLITE_READONLY_ROLLBACK = 776;
export const SQLITE_READONLY_DBMOVED = 1032;
export const SQLITE_READONLY_CANTINIT = 1288;
export const SQLITE_READONLY_DIRECTORY = 1544;
export const SQLITE_ABORT_ROLLBACK = 516;
export const SQLITE_CONSTRAINT_CHECK = 275;
export const SQLITE_CONSTRAINT_COMMITHOOK = 531;
export const SQLITE_CONSTRAINT_FOREIGNKEY = 787;
export const SQLITE_CONSTRAINT_FUNCTION = 1043;
export const SQLITE_CONSTRAINT_NOTNULL = 1299;
export const SQLITE_CONSTRAINT_PRIMARYKEY = 1555;
export const SQLITE_CONSTRAINT_TRIGGER = 1811;
export const SQLITE_CONSTRAINT_UNIQUE = 2067;
export const SQLITE_CONSTRAINT_VTAB = 2323;
export const SQLITE_CONSTRAINT_ROWID = 2579;
export const SQLITE_CONSTRAINT_PINNED = 2835;
export const SQLITE_CONSTRAINT_DATATYPE = 3091;
export const SQLITE_NOTICE_RECOVER_WAL = 283;
export const SQLITE_NOTICE_RECOVER_ROLLBACK = 539;
export const SQLITE_WARNING_AUTOINDEX = 284;
export const SQLITE_AUTH_USER = 279;
export const SQLITE_OK_LOAD_PERMANENTLY = 256;
export const SQLITE_OK_SYMLINK = 512;
