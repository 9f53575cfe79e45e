// npm mariadb, for tests/suite/tls_own.rs: one login over TLS that is told no authority.
'use strict';
const { createRequire } = require('module');
const mariadb = createRequire(`${process.env.ACKLINE_DRIVERS}/node/`)('mariadb');

(async () => {
  const [host, port, user, password] = process.argv.slice(2);
  try {
    const conn = await mariadb.createConnection({ host, port: Number(port), user, password, ssl: true });
    const rows = await conn.query('SELECT CURRENT_USER() AS who');
    console.log(`in as ${rows[0].who}`);
    await conn.end();
  } catch (error) {
    console.log(`out: ${error.code} ${error.message}`);
  }
})();
