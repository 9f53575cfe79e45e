// npm mariadb: pipelining, COM_STMT_BULK_EXECUTE.
'use strict';
const facts = require('./facts');
const { createRequire } = require('module');
const mariadb = createRequire(`${facts.drivers}/node/`)('mariadb');

const options = {
  ...facts.where,
  rowsAsArray: true,
  dateStrings: true,
  bigIntAsNumber: false,
  insertIdAsNumber: true,
  bigNumberStrings: true,
  supportBigNumbers: true,
  bitOneIsBoolean: false,
  autoJsonMap: false,
  jsonStrings: true,
  maxAllowedPacket: 64 << 20,
  // Its second is short on a busy machine.
  connectTimeout: 20000,
  // For caching_sha2_password without TLS; other drivers do not ask.
  allowPublicKeyRetrieval: true,
};

const plain = (rows) => (Array.isArray(rows) ? Array.from(rows) : rows);

const driver = {
  connect: (more) => mariadb.createConnection({ ...options, ...more }),
  pool: (more) => mariadb.createPool({ ...options, ...more }),
  query: async (conn, sql, values) => plain(await conn.query(sql, values)),
  execute: async (conn, sql, values) => plain(await conn.execute(sql, values)),
  async results(conn, sql) {
    const results = await conn.query(sql);
    return Array.from(results).map((result) => (Array.isArray(result) ? plain(result) : `affected ${result.affectedRows}`));
  },
  infile: () => ({ permitLocalInfile: true }),
  load: (conn, sql) => conn.query(sql),
};

driver.extras = {
  async streaming() {
    const conn = await driver.connect();
    let count = 0;
    for await (const row of conn.queryStream(facts.BIG)) count += row.length / 2;
    facts.fact('stream.rows', count);
    await conn.end();
  },

  async bulk() {
    for (const bulk of [true, false]) {
      const conn = await driver.connect({ bulk });
      await conn.query('DROP TABLE IF EXISTS drv_bulk');
      await conn.query('CREATE TABLE drv_bulk (id INT PRIMARY KEY, name VARCHAR(40))');
      const rows = Array.from({ length: bulk ? 5000 : 500 }, (_, n) => [n, n % 7 ? `name ${n}` : null]);
      // With MySQL one by one: not each on disk.
      await conn.beginTransaction();
      const outcome = await conn.batch('INSERT INTO drv_bulk VALUES (?, ?)', rows);
      await conn.commit();
      facts.fact(`bulk.${bulk}`, outcome.affectedRows);
      const stored = 'SELECT COUNT(*), COUNT(name), CAST(SUM(id) AS CHAR) FROM drv_bulk';
      facts.fact(`bulk.${bulk}.stored`, await driver.query(conn, stored));
      const twice = () => conn.batch('INSERT INTO drv_bulk VALUES (?, ?)', [[6000, 'x'], [1, 'y'], [6001, 'z']]);
      facts.fact(`bulk.${bulk}.duplicate`, await facts.errorOf(twice));
      await conn.query('DROP TABLE drv_bulk');
      await conn.end();
    }
  },

  async pipelining() {
    for (const pipelining of [true, false]) {
      const conn = await driver.connect({ pipelining });
      const answers = await Promise.all(Array.from({ length: 500 }, (_, n) => driver.query(conn, 'SELECT ?', [n])));
      facts.fact(`pipeline.${pipelining}.in_order`, answers.every((rows, n) => Number(rows[0][0]) === n));
      const mixed = await Promise.allSettled([
        conn.query('SELECT 1'), conn.query('SELECT * FROM drv_nowhere'), conn.execute('SELECT ?', [3]),
        conn.ping(), conn.query('DO 0'), conn.execute('SELEKT'), conn.query('SELECT 7'),
      ]);
      facts.fact(`pipeline.${pipelining}.mixed`, mixed.map(({ status, reason }) => (reason ? reason.errno : status)));
      await conn.end();
    }
  },

  async sessions() {
    const conn = await driver.connect({ compress: true });
    facts.fact('session.compress', (await driver.query(conn, "SELECT REPEAT('z', 1000000)"))[0][0].length);
    await conn.query('SET @mine = 7');
    await conn.reset();
    facts.fact('session.reset', await driver.query(conn, 'SELECT @mine'));
    // The driver does not do it with MySQL.
    if (conn.info.isMariaDB()) {
      await conn.changeUser({ user: facts.where.user, password: facts.where.password, database: 'information_schema' });
      facts.fact('session.change_user', await driver.query(conn, 'SELECT @mine, DATABASE()'));
    }
    facts.fact('session.prepared', await (async () => {
      const statement = await conn.prepare('SELECT ?, ?');
      const rows = plain(await statement.execute([1, facts.TEXT]));
      statement.close();
      return rows;
    })());
    await conn.end();
  },
};

facts.run(driver);
