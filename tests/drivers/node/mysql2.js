// npm mysql2, with promises.
'use strict';
const fs = require('fs');
const facts = require('./facts');
const { createRequire } = require('module');
const installed = createRequire(`${facts.drivers}/node/`);
const mysql = installed('mysql2/promise');
const plain = installed('mysql2');

const options = {
  ...facts.where,
  charset: 'utf8mb4',
  rowsAsArray: true,
  dateStrings: true,
  supportBigNumbers: true,
  bigNumberStrings: true,
  jsonStrings: true,
};

const driver = {
  async connect(more) {
    const conn = await mysql.createConnection({ ...options, ...more });
    return conn;
  },
  pool: (more) => mysql.createPool({ ...options, ...more }),
  query: async (conn, sql, values) => (await conn.query(sql, values))[0],
  execute: async (conn, sql, values) => (await conn.execute(sql, values))[0],
  async results(conn, sql) {
    const [results] = await conn.query(sql);
    return results.map((result) => (Array.isArray(result) ? result : `affected ${result.affectedRows}`));
  },
  infile: () => ({}),
  load: async (conn, sql, file) => (await conn.query({ sql, infileStreamFactory: () => fs.createReadStream(file) }))[0],
};

driver.extras = {
  async streaming() {
    const conn = plain.createConnection(options);
    let count = 0;
    for await (const row of conn.query(facts.BIG).stream({ highWaterMark: 100 })) count += row.length / 2;
    facts.fact('stream.rows', count);
    await new Promise((done) => conn.end(done));
  },

  async sessions() {
    const conn = await driver.connect({ compress: true });
    facts.fact('session.compress', (await driver.query(conn, "SELECT REPEAT('z', 1000000)"))[0][0].length);
    await conn.query('SET @mine = 7');
    await conn.changeUser({ ...facts.where, database: 'information_schema' });
    facts.fact('session.change_user', await driver.query(conn, 'SELECT @mine, DATABASE()'));
    await conn.end();
  },

  // Commands that are sent before the answers to earlier ones have come.
  async pipelining() {
    const conn = await driver.connect();
    const answers = await Promise.all(Array.from({ length: 500 }, (_, n) => driver.query(conn, 'SELECT ?', [n])));
    facts.fact('pipeline.in_order', answers.every((rows, n) => Number(rows[0][0]) === n));
    const statement = await conn.prepare('SELECT ? * 2');
    const twice = await Promise.all(Array.from({ length: 500 }, (_, n) => statement.execute([n])));
    facts.fact('pipeline.prepared', twice.every(([rows], n) => Number(rows[0][0]) === 2 * n));
    await statement.close();
    await conn.end();
  },
};

facts.run(driver);
