// What the Node drivers have in common: where to connect, the chapters, and how facts are printed. A
// driver's program gives `run` a set of functions; facts are as in ../python/facts.py.
'use strict';
const crypto = require('crypto');
const fs = require('fs');
const path = require('path');

const drivers = process.env.ACKLINE_DRIVERS;
// As in ../python/facts.py.
const only = process.env.ACKLINE_DB_CHAPTER || '';

const where = {
  host: process.env.ACKLINE_DB_HOST,
  port: Number(process.env.ACKLINE_DB_PORT),
  user: process.env.ACKLINE_DB_USER,
  password: process.env.ACKLINE_DB_PASSWORD,
  database: process.env.ACKLINE_DB_DATABASE,
};
if (process.env.ACKLINE_DB_TLS_CA) {
  where.ssl = { ca: fs.readFileSync(process.env.ACKLINE_DB_TLS_CA), rejectUnauthorized: true };
}

const TEXT = 'Gr\u00fc\u00dfe \u{1f42c} \u65e5\u672c \'"\\ %s';
const BLOB = Buffer.from(Array.from({ length: 76800 }, (_, at) => at % 256));
// Longer than one packet of the protocol.
const LARGE = Buffer.alloc(17 << 20, BLOB.subarray(0, 251));
const TYPES = `CREATE TABLE drv_types (
  id INT PRIMARY KEY, big BIGINT UNSIGNED, tiny TINYINT, exact DECIMAL(38,10), approximate DOUBLE,
  text_ TEXT CHARACTER SET utf8mb4, bytes_ LONGBLOB, date_ DATE, time_ TIME(6), datetime_ DATETIME(6),
  year_ YEAR, bits BIT(10), json_ JSON, enum_ ENUM('red', 'green', 'blue'), set_ SET('a', 'b', 'c'),
  nothing INT NULL) CHARACTER SET utf8mb4`;
const ROWS = [
  [1, '18446744073709551615', -128, '1234567890123456789012345678.0123456789', 0.1, TEXT, BLOB, '2024-02-29',
    '-112:34:56.123456', '2024-02-29 23:59:59.123456', 2024, Buffer.from([2, 170]),
    '{"a": [1, 2.5, null], "b": "\u00fc"}', 'green', 'a,c', null],
  [2, '0', 127, '-0.0000000001', -1.5e300, '', Buffer.alloc(0), '1000-01-01', '838:59:58', '9999-12-31', 1901,
    Buffer.from([0, 0]), '[]', 'red', '', 5],
  [3, ...Array(15).fill(null)],
];
const BIG = `SELECT a.n + 10 * b.n + 100 * c.n + 1000 * d.n + 10000 * e.n + 100000 * f.n AS n, REPEAT('x', 100) AS x
  FROM drv_ten a, drv_ten b, drv_ten c, drv_ten d, drv_ten e, drv_ten f WHERE f.n < 2 ORDER BY n`;
const PROCEDURE = `CREATE PROCEDURE drv_procedure(IN a INT, OUT b INT, INOUT c INT)
  BEGIN SELECT a AS first_, 'one' AS word; SET b = a * 2; SET c = c + 1; SELECT b AS second_; END`;

function fact(name, value) {
  process.stdout.write(`${name}: ${shown(value)}\n`);
}

function shown(value) {
  if (value === null || value === undefined) return 'NULL';
  if (Buffer.isBuffer(value)) {
    if (value.length <= 8) return `0x${value.toString('hex')}`;
    return `${value.length} bytes ${crypto.createHash('sha1').update(value).digest('hex').slice(0, 12)}`;
  }
  if (value instanceof Date) return isNaN(value) ? 'no date' : value.toISOString();
  if (Array.isArray(value)) return `(${value.map(shown).join(', ')})`;
  if (typeof value === 'object') return JSON.stringify(value);
  return String(value);
}

// The server's number of an error, or what the driver calls it.
function number(error) {
  return error.errno && error.errno > 0 ? error.errno : error.code;
}

async function errorOf(action) {
  try {
    await action();
  } catch (error) {
    return number(error);
  }
  throw new Error('no error');
}

const pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

async function waitFor(what, probe) {
  for (let tries = 0; tries < 3000; tries++) {
    if (await probe()) return;
    await pause(20);
  }
  throw new Error(`never: ${what}`);
}

// driver: connect(options), query(conn, sql, values) and execute(…) giving rows as arrays or the outcome,
// affected(outcome), extras.
const CHAPTERS = {
  async connect(driver) {
    const conn = await driver.connect();
    fact('connect', (await driver.query(conn, 'SELECT 6 * 7'))[0]);
    fact('connect.charset', (await driver.query(conn, 'SELECT @@character_set_client'))[0]);
    await conn.ping();
    const id = (await driver.query(conn, 'SELECT CONNECTION_ID()'))[0][0];
    fact('connect.id', Number(id) === conn.threadId);
    await conn.end();
    fact('connect.refused', await errorOf(() => driver.connect({ password: 'wrong' })));
    fact('connect.no_database', await errorOf(() => driver.connect({ database: 'drv_nowhere' })));
  },

  async types(driver) {
    const conn = await driver.connect();
    for (const way of ['query', 'execute']) {
      await driver.query(conn, 'DROP TABLE IF EXISTS drv_types');
      await driver.query(conn, TYPES);
      for (const row of ROWS) {
        await driver[way](conn, `INSERT INTO drv_types VALUES (${Array(16).fill('?').join(', ')})`, row);
      }
      for (const row of await driver[way](conn, 'SELECT * FROM drv_types ORDER BY id', [])) {
        fact(`types.${way}.${row[0]}`, row.slice(1));
      }
      const found = 'SELECT id FROM drv_types WHERE exact = ? AND text_ = ? AND bytes_ = ?';
      fact(`types.${way}.found`, await driver[way](conn, found, [ROWS[0][3], ROWS[0][5], ROWS[0][6]]));
      await driver.query(conn, "SET SESSION sql_mode = ''");
      await driver.query(conn, "INSERT INTO drv_types (id, date_, datetime_) VALUES (4, '0000-00-00', '2024-00-00 00:00:00')");
      fact(`types.${way}.zero_date`, await driver[way](conn, 'SELECT date_, datetime_ FROM drv_types WHERE id = 4', []));
    }
    await driver.query(conn, 'DROP TABLE drv_types');
    await conn.end();
  },

  async prepared(driver) {
    const conn = await driver.connect();
    for (const value of [1, null, 3]) {
      fact(`prepared.${value}`, await driver.execute(conn, "SELECT ? + 1, CONCAT(?, '!')", [value, TEXT]));
    }
    fact('prepared.error', await errorOf(() => driver.execute(conn, 'SELECT * FROM drv_nowhere WHERE id = ?', [1])));
    await conn.end();
  },

  async blobs(driver) {
    const conn = await driver.connect();
    await driver.query(conn, 'DROP TABLE IF EXISTS drv_blob');
    await driver.query(conn, 'CREATE TABLE drv_blob (id INT PRIMARY KEY, data LONGBLOB)');
    let id = 0;
    for (const way of ['query', 'execute']) {
      for (const data of [BLOB, LARGE]) {
        id += 1;
        await driver[way](conn, 'INSERT INTO drv_blob VALUES (?, ?)', [id, data]);
        const back = (await driver[way](conn, 'SELECT data FROM drv_blob WHERE id = ?', [id]))[0][0];
        fact(`blob.${way}`, back);
        fact(`blob.${way}.same`, back.equals(data));
      }
    }
    await driver.query(conn, 'DROP TABLE drv_blob');
    await conn.end();
  },

  async transactions(driver) {
    const conn = await driver.connect();
    const other = await driver.connect();
    const count = async (of) => (await driver.query(of, 'SELECT COUNT(*) FROM drv_account'))[0][0];
    await driver.query(conn, 'DROP TABLE IF EXISTS drv_account');
    await driver.query(conn, 'CREATE TABLE drv_account (id INT PRIMARY KEY AUTO_INCREMENT, amount INT) ENGINE=InnoDB');
    await conn.beginTransaction();
    const outcome = await driver.execute(conn, 'INSERT INTO drv_account (amount) VALUES (?)', [100]);
    fact('transaction.insert', [outcome.affectedRows, outcome.insertId]);
    fact('transaction.unseen', await count(other));
    await conn.commit();
    fact('transaction.committed', await count(other));
    await conn.beginTransaction();
    await driver.query(conn, 'INSERT INTO drv_account (amount) VALUES (?)', [200]);
    await conn.rollback();
    fact('transaction.rolled_back', await count(conn));
    fact('transaction.duplicate', await errorOf(() => driver.query(conn, 'INSERT INTO drv_account VALUES (1, 1)')));
    await conn.beginTransaction();
    await driver.query(conn, 'UPDATE drv_account SET amount = 7 WHERE id = 1');
    await driver.query(other, 'SET innodb_lock_wait_timeout = 1');
    fact('transaction.lock_wait', await errorOf(() => driver.query(other, 'UPDATE drv_account SET amount = 8 WHERE id = 1')));
    await conn.commit();
    await conn.end();
    await other.end();
  },

  async errors(driver) {
    const conn = await driver.connect();
    fact('error.syntax', await errorOf(() => driver.query(conn, 'SELEKT 1')));
    try {
      await driver.query(conn, 'SELECT * FROM drv_nowhere');
    } catch (error) {
      fact('error.no_table', [error.errno, error.code, error.sqlState]);
    }
    fact('error.goes_on', await driver.query(conn, 'SELECT 1'));
    await conn.end();
  },

  async big(driver) {
    const conn = await driver.connect();
    await driver.query(conn, 'DROP TABLE IF EXISTS drv_ten');
    await driver.query(conn, 'CREATE TABLE drv_ten (n INT PRIMARY KEY)');
    await driver.query(conn, 'INSERT INTO drv_ten VALUES (0),(1),(2),(3),(4),(5),(6),(7),(8),(9)');
    for (const way of ['query', 'execute']) {
      const rows = await driver[way](conn, BIG, []);
      const sum = rows.reduce((sum, row) => sum + Number(row[0]), 0);
      const bytes = rows.reduce((sum, row) => sum + row[1].length, 0);
      fact(`big.${way}`, [rows.length, sum, bytes, rows[rows.length - 1][0]]);
    }
    await conn.end();
  },

  async multi_statements(driver) {
    const conn = await driver.connect({ multipleStatements: true });
    fact('multi.results', await driver.results(conn, "SELECT 1; SELECT 2, 'b'; DO 0; SELECT 3"));
    fact('multi.error', await errorOf(() => driver.results(conn, 'SELECT 1; SELECT * FROM drv_nowhere; SELECT 3')));
    fact('multi.goes_on', await driver.query(conn, 'SELECT 4'));
    await conn.end();
  },

  async procedures(driver) {
    const conn = await driver.connect();
    await driver.query(conn, 'DROP PROCEDURE IF EXISTS drv_procedure');
    await driver.query(conn, PROCEDURE);
    await driver.query(conn, 'SET @b = 0, @c = 8');
    fact('procedure.results', await driver.results(conn, 'CALL drv_procedure(21, @b, @c)'));
    fact('procedure.out', await driver.query(conn, 'SELECT @b, @c'));
    await driver.query(conn, 'DROP PROCEDURE drv_procedure');
    await conn.end();
  },

  async times(driver) {
    const conn = await driver.connect();
    await driver.query(conn, 'DROP TABLE IF EXISTS drv_stamp');
    await driver.query(conn, 'CREATE TABLE drv_stamp (at TIMESTAMP(3) NULL)');
    await driver.query(conn, "SET time_zone = '+00:00'");
    await driver.execute(conn, 'INSERT INTO drv_stamp VALUES (?)', ['2024-07-01 12:00:00.005']);
    for (const zone of ['+00:00', '+05:30', '-08:00']) {
      await driver.query(conn, `SET time_zone = '${zone}'`);
      fact(`time_zone.${zone}`, await driver.query(conn, 'SELECT at FROM drv_stamp'));
    }
    await driver.query(conn, 'DROP TABLE drv_stamp');
    await conn.end();
    const local = await driver.connect({ timezone: '+02:00', dateStrings: false });
    fact('time_zone.driver', await driver.query(local, "SELECT CAST('2024-07-01 12:00:00' AS DATETIME)"));
    await local.end();
  },

  async infile(driver) {
    const file = path.join(fs.mkdtempSync('/tmp/ackline-drivers-'), 'rows.csv');
    fs.writeFileSync(file, Array.from({ length: 20000 }, (_, n) => `${n},name-${n}\n`).join(''));
    const load = `LOAD DATA LOCAL INFILE '${file}' INTO TABLE drv_infile FIELDS TERMINATED BY ','`;
    const conn = await driver.connect(driver.infile(file));
    await driver.query(conn, 'DROP TABLE IF EXISTS drv_infile');
    await driver.query(conn, 'CREATE TABLE drv_infile (id INT, name VARCHAR(40))');
    for (const time of ['first', 'again']) {
      fact(`infile.${time}`, (await driver.load(conn, load, file)).affectedRows);
    }
    fact('infile.stored', await driver.query(conn, 'SELECT COUNT(*), CAST(SUM(id) AS CHAR) FROM drv_infile'));
    await driver.query(conn, 'DROP TABLE drv_infile');
    await conn.end();
    fs.rmSync(path.dirname(file), { recursive: true });
  },

  async pool(driver) {
    const pool = driver.pool({ connectionLimit: 8 });
    const numbers = Array.from({ length: 200 }, (_, n) => n);
    const sums = await Promise.all(numbers.map((n) => driver.query(pool, 'SELECT ? + 1', [n])));
    fact('pool.sum', sums.reduce((sum, rows) => sum + Number(rows[0][0]), 0));
    await pool.end();
  },

  async kill(driver) {
    const killer = await driver.connect();
    const conn = await driver.connect();
    conn.on('error', () => {});
    const id = conn.threadId;
    const slow = errorOf(() => driver.query(conn, 'SELECT n FROM drv_ten WHERE SLEEP(60) = 0'));
    const listed = `SELECT COUNT(*) FROM ${process.env.ACKLINE_DB_PROCESSES} WHERE ID = ?`;
    const running = async () =>
      Number((await driver.query(killer, `${listed} AND INFO LIKE 'SELECT n FROM%'`, [id]))[0][0]) === 1;
    await waitFor('the query runs', running);
    await driver.query(killer, `KILL QUERY ${id}`);
    fact('kill.query', await slow);
    fact('kill.query.goes_on', await driver.query(conn, 'SELECT 2'));
    await driver.query(killer, `KILL ${id}`);
    await waitFor('the connection goes', async () => Number((await driver.query(killer, listed, [id]))[0][0]) === 0);
    await pause(300);
    fact('kill.connection', (await errorOf(() => driver.query(conn, 'SELECT 3'))) !== undefined);
    const again = await driver.connect();
    fact('kill.reconnect', await driver.query(again, 'SELECT 4'));
    await again.end();
    await killer.end();
  },
};

async function login(driver) {
  let conn;
  try {
    conn = await driver.connect();
  } catch (error) {
    fact(only, [number(error), error.message.includes('certificate')]);
    return;
  }
  fact(only, await driver.query(conn, 'SELECT 6 * 7'));
  await conn.end();
}

// A pool that was open before: it must find out by itself what has become of its connections.
async function restart(driver) {
  const pool = driver.pool({ connectionLimit: 4 });
  const all = (sql) => Promise.all(Array.from({ length: 8 }, () => driver.query(pool, sql)));
  await all('SELECT SLEEP(0.1)');
  const conn = await pool.getConnection();
  await driver.query(conn, 'DROP TABLE IF EXISTS drv_restart');
  await driver.query(conn, 'CREATE TABLE drv_restart (id INT PRIMARY KEY)');
  await driver.query(conn, 'INSERT INTO drv_restart VALUES (1)');
  await conn.beginTransaction();
  await driver.query(conn, 'INSERT INTO drv_restart VALUES (2)');
  fs.writeFileSync(process.env.ACKLINE_DB_READY, '');
  await waitFor('the proxy is there again', async () => fs.existsSync(process.env.ACKLINE_DB_GO));
  // What it is told differs; that it is told does not.
  await errorOf(() => conn.commit());
  fact('restart.commit', 'told');
  await conn.release();
  fact('restart.goes_on', await all('SELECT id FROM drv_restart'));
  await pool.end();
}

function chaptersOf(driver) {
  if (only === 'restart') return { restart };
  return only ? { login } : { ...CHAPTERS, ...driver.extras };
}

async function run(driver) {
  let failed = 0;
  for (const [name, chapter] of Object.entries(chaptersOf(driver))) {
    try {
      await chapter(driver);
    } catch (error) {
      // The others are still worth knowing.
      failed += 1;
      fact(name, `FAILED ${error}`);
      console.error(error);
    }
  }
  process.exitCode = failed ? 1 : 0;
  // A connection that a failed chapter left open must not keep the program alive.
  setTimeout(() => process.exit(), 200).unref();
  if (failed) process.exit(1);
}

module.exports = { drivers, where, fact, errorOf, run, BIG, TEXT, BLOB };
