// The same with zongji: reader.cjs PORT USER PASSWORD SERVER_ID FILE POSITION
const { default: ZongJi } = require('@vlasky/zongji');

const [port, user, password, serverId, filename, position] = process.argv.slice(2);
const kinds = { writerows: 'insert', updaterows: 'update', deleterows: 'delete' };
const counts = {};
const reader = new ZongJi({ host: '127.0.0.1', port: Number(port), user, password });
reader.on('error', error => {
  console.error(error.message);
  process.exit(1);
});
reader.on('binlog', event => {
  const kind = kinds[event.getEventName()];
  if (!kind) return;
  const table = event.tableMap[event.tableId].tableName;
  if (table === 'marker') {
    console.log(JSON.stringify(counts));
    process.exit(0);
  }
  const name = `${table} ${kind}`;
  counts[name] = (counts[name] || 0) + event.rows.length;
});
reader.start({
  serverId: Number(serverId),
  filename,
  position: Number(position),
  includeEvents: ['tablemap', 'writerows', 'updaterows', 'deleterows', 'rotate'],
});
