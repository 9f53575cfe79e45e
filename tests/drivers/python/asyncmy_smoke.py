"""asyncmy. Its coroutines are run one by one, so that it takes the same chapters as the others; what it
does side by side has a chapter of its own."""

import asyncio
import inspect
import ssl

import asyncmy
import asyncmy.cursors
import asyncmy.errors

import facts
from facts import fact

LOOP = asyncio.new_event_loop()


def now(awaitable):
    return LOOP.run_until_complete(awaitable)


class Sync:
    """A connection or cursor whose coroutine methods return when they are done."""

    def __init__(self, inner, loop=LOOP):
        self.inner, self.loop = inner, loop

    def __getattr__(self, name):
        if name == "close" and hasattr(self.inner, "ensure_closed"):
            # `close` leaves the rest to a loop that goes on running.
            name = "ensure_closed"
        value = getattr(self.inner, name)
        if not callable(value):
            return value

        def call(*arguments, **options):
            result = value(*arguments, **options)
            if inspect.isawaitable(result):
                result = self.loop.run_until_complete(result)
            return Sync(result, self.loop) if hasattr(result, "execute") else result
        return call


class Asyncmy(facts.Driver):
    Error = asyncmy.errors.Error
    # It looks for the name as text where it reads bytes.
    local_infile = None
    # It reads no row that is longer than a packet.
    largest = 8_000_000

    async def open(self, **options):
        options = {"password": facts.PASSWORD, "database": facts.DATABASE, **options}
        if facts.TLS_CA:
            options.update(ssl=ssl.create_default_context(cafile=facts.TLS_CA))
        return await asyncmy.connect(
            host=facts.HOST, port=facts.PORT, user=facts.USER, charset="utf8mb4", **options)

    def connect(self, **options):
        loop = asyncio.new_event_loop()
        return Sync(loop.run_until_complete(self.open(**options)), loop)

    def procedure(self, conn):
        cursor = conn.cursor()
        cursor.callproc("drv_procedure", (21, 0, 8))
        fact("procedure.first", cursor.fetchall())
        fact("procedure.more", cursor.nextset())
        fact("procedure.second", cursor.fetchall())
        fact("procedure.end", (cursor.nextset(), cursor.nextset()))
        cursor.execute("SELECT @_drv_procedure_0, @_drv_procedure_1, @_drv_procedure_2")
        fact("procedure.out", cursor.fetchall())

    def revive(self, conn):
        conn.ping(reconnect=True)
        return conn

    def restarted(self):
        pool = now(open_pool(minsize=3, maxsize=3))
        facts.restart_chapter(self)

        async def work():
            # As a program's loop goes on running: it is told that connections have ended.
            await asyncio.sleep(0.1)
            async with pool.acquire() as conn, conn.cursor() as cursor:
                await cursor.execute("SELECT 4")
                return await cursor.fetchone()
        for _ in range(3):
            fact("restart.pool", now(work()))

    def reconnect(self, conn):
        conn = self.connect()
        fact("kill.reconnect", self.value(conn, "SELECT 4"))
        conn.close()


async def open_pool(**options):
    if facts.TLS_CA:
        options.update(ssl=ssl.create_default_context(cafile=facts.TLS_CA))
    return await asyncmy.create_pool(
        host=facts.HOST, port=facts.PORT, user=facts.USER, password=facts.PASSWORD, database=facts.DATABASE, **options)


def pool(driver):
    async def work(pool, number):
        async with pool.acquire() as conn:
            async with conn.cursor() as cursor:
                await cursor.execute("INSERT INTO drv_pool VALUES (%s)", (number,))
                await cursor.execute("SELECT id FROM drv_pool WHERE id = %s", (number,))
                row = await cursor.fetchone()
                await conn.commit()
                return row[0]

    async def all_of_them():
        pool = await open_pool(minsize=2, maxsize=8)
        numbers = await asyncio.gather(*(work(pool, number) for number in range(200)))
        pool.close()
        await pool.wait_closed()
        return sum(numbers)

    conn = driver.connect()
    driver.run(conn, "DROP TABLE IF EXISTS drv_pool")
    driver.run(conn, "CREATE TABLE drv_pool (id INT PRIMARY KEY)")
    fact("pool.sum", now(all_of_them()))
    fact("pool.stored", driver.value(conn, "SELECT COUNT(*) FROM drv_pool"))
    driver.run(conn, "DROP TABLE drv_pool")
    conn.close()


def streaming(driver):
    async def stream():
        conn = await driver.open()
        async with conn.cursor(asyncmy.cursors.SSCursor) as cursor:
            await cursor.execute(facts.BIG)
            first = await cursor.fetchone()
            fact("stream.first", first[0])
            count = 0
            while rows := await cursor.fetchmany(1000):
                count += len(rows)
            fact("stream.rest", count)
        conn.close()
    now(stream())


def dictionaries(driver):
    conn = driver.connect()
    cursor = conn.cursor(asyncmy.cursors.DictCursor)
    cursor.execute("SELECT 1 AS one, NULL AS none, 'x' AS letter")
    fact("dict", sorted((name, facts.shown(value)) for name, value in cursor.fetchone().items()))
    conn.close()


Asyncmy.extras = (facts.prepared_in_sql, pool, streaming, dictionaries)
facts.run(Asyncmy())
