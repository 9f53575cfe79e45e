import java.io.ByteArrayInputStream;
import java.math.BigDecimal;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.sql.BatchUpdateException;
import java.sql.CallableStatement;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.ResultSetMetaData;
import java.sql.SQLException;
import java.sql.Savepoint;
import java.sql.Statement;
import java.sql.Types;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.mariadb.jdbc.MariaDbPoolDataSource;

/** MariaDB Connector/J. Facts are as in ../python/facts.py. */
public final class Smoke {
    private static final String TEXT = "Gr\u00fc\u00dfe \ud83d\udc2c \u65e5\u672c '\"\\ ? %s";
    private static final byte[] BLOB = new byte[76800];
    /** Longer than one packet of the protocol. */
    private static final byte[] LARGE = new byte[17 << 20];
    private static final String BIG =
            "SELECT a.n + 10 * b.n + 100 * c.n + 1000 * d.n + 10000 * e.n + 100000 * f.n AS n, REPEAT('x', 100) "
                    + "FROM drv_ten a, drv_ten b, drv_ten c, drv_ten d, drv_ten e, drv_ten f WHERE f.n < 2 ORDER BY n";

    static {
        for (int at = 0; at < BLOB.length; at++) {
            BLOB[at] = (byte) at;
        }
        for (int at = 0; at < LARGE.length; at++) {
            LARGE[at] = (byte) (at % 251);
        }
    }

    private interface Chapter {
        void run() throws Exception;
    }

    private interface Action {
        void run() throws SQLException;
    }

    private static String at(String name) {
        return System.getenv("ACKLINE_DB_" + name);
    }

    private static Connection connect(String... options) throws SQLException {
        return connectAs(at("PASSWORD"), at("DATABASE"), options);
    }

    private static Connection connectAs(String password, String database, String... options) throws SQLException {
        return DriverManager.getConnection(url(database, options), at("USER"), password);
    }

    private static String url(String database, String... options) {
        StringBuilder url = new StringBuilder("jdbc:mariadb://");
        url.append(at("HOST")).append(':').append(at("PORT")).append('/').append(database).append('?');
        if (at("TLS_CA") != null) {
            url.append("useSsl=true&serverSslCert=").append(at("TLS_CA")).append('&');
        }
        // For caching_sha2_password without TLS; other drivers do not ask.
        url.append("allowPublicKeyRetrieval=true&");
        url.append(String.join("&", options));
        return url.toString();
    }

    private static void fact(String name, Object value) {
        System.out.println(name + ": " + shown(value));
        System.out.flush();
    }

    private static String shown(Object value) {
        if (value == null) {
            return "NULL";
        }
        if (value instanceof byte[]) {
            byte[] bytes = (byte[]) value;
            try {
                byte[] digest = MessageDigest.getInstance("SHA-1").digest(bytes);
                StringBuilder hex = new StringBuilder();
                for (byte one : bytes.length <= 8 ? bytes : Arrays.copyOf(digest, 6)) {
                    hex.append(String.format("%02x", one));
                }
                return bytes.length <= 8 ? "0x" + hex : bytes.length + " bytes " + hex;
            } catch (java.security.NoSuchAlgorithmException impossible) {
                throw new IllegalStateException(impossible);
            }
        }
        if (value instanceof BigDecimal) {
            return ((BigDecimal) value).toPlainString();
        }
        return value.toString();
    }

    private static String errorOf(Action action) {
        try {
            action.run();
        } catch (SQLException error) {
            return error.getErrorCode() + " " + error.getSQLState();
        }
        throw new IllegalStateException("no error");
    }

    private static void run(Connection conn, String sql) throws SQLException {
        try (Statement statement = conn.createStatement()) {
            statement.execute(sql);
        }
    }

    private static List<List<String>> rows(ResultSet result) throws SQLException {
        List<List<String>> rows = new ArrayList<>();
        int width = result.getMetaData().getColumnCount();
        while (result.next()) {
            List<String> row = new ArrayList<>();
            for (int column = 1; column <= width; column++) {
                row.add(shown(result.getObject(column)));
            }
            rows.add(row);
        }
        return rows;
    }

    private static List<List<String>> rows(Connection conn, String sql) throws SQLException {
        try (Statement statement = conn.createStatement(); ResultSet result = statement.executeQuery(sql)) {
            return rows(result);
        }
    }

    private static void connects() throws SQLException {
        try (Connection conn = connect()) {
            fact("connect", rows(conn, "SELECT 6 * 7"));
            fact("connect.charset", rows(conn, "SELECT @@character_set_client"));
            fact("connect.valid", conn.isValid(10));
            fact("connect.product", conn.getMetaData().getDatabaseProductName());
        }
        fact("connect.refused", errorOf(() -> connectAs("wrong", at("DATABASE"))));
        fact("connect.no_database", errorOf(() -> connectAs(at("PASSWORD"), "drv_nowhere")));
    }

    /** The driver's binary form of a date has a time, which MySQL refuses. */
    private static Object day(Connection conn, String isBinary, int year, int month, int day) throws SQLException {
        boolean isMySql = conn.getMetaData().getDatabaseProductName().equals("MySQL");
        java.time.LocalDate date = java.time.LocalDate.of(year, month, day);
        return isMySql && isBinary.equals("true") ? date.toString() : date;
    }

    private static void types() throws SQLException {
        for (String way : new String[] {"false", "true"}) {
            try (Connection conn = connect("useServerPrepStmts=" + way, "yearIsDateType=false", "tinyInt1isBit=false")) {
                run(conn, "DROP TABLE IF EXISTS drv_types");
                run(conn, "CREATE TABLE drv_types (id INT PRIMARY KEY, big BIGINT UNSIGNED, tiny TINYINT, "
                        + "exact DECIMAL(38,10), approximate DOUBLE, text_ TEXT CHARACTER SET utf8mb4, bytes_ LONGBLOB, "
                        + "date_ DATE, time_ TIME(6), datetime_ DATETIME(6), year_ YEAR, bits BIT(10), json_ JSON, "
                        + "enum_ ENUM('red', 'green', 'blue'), set_ SET('a', 'b', 'c'), nothing INT NULL) "
                        + "CHARACTER SET utf8mb4");
                String insert = "INSERT INTO drv_types VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
                try (PreparedStatement statement = conn.prepareStatement(insert)) {
                    Object[][] rows = {
                        {1, new java.math.BigInteger("18446744073709551615"), -128,
                            new BigDecimal("1234567890123456789012345678.0123456789"), 0.1, TEXT, BLOB,
                            day(conn, way, 2024, 2, 29), "-112:34:56.123456",
                            java.time.LocalDateTime.of(2024, 2, 29, 23, 59, 59, 123456000), 2024,
                            new byte[] {2, (byte) 170}, "{\"a\": [1, 2.5, null], \"b\": \"\u00fc\"}", "green", "a,c", null},
                        {2, 0, 127, new BigDecimal("-0.0000000001"), -1.5e300, "", new byte[0],
                            day(conn, way, 1000, 1, 1), "838:59:58", java.time.LocalDateTime.of(9999, 12, 31, 0, 0),
                            1901, new byte[] {0, 0}, "[]", "red", "", 5},
                        {3, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null},
                    };
                    for (Object[] row : rows) {
                        for (int at = 0; at < row.length; at++) {
                            statement.setObject(at + 1, row[at]);
                        }
                        statement.executeUpdate();
                    }
                }
                String select = "SELECT * FROM drv_types ORDER BY id";
                try (PreparedStatement statement = conn.prepareStatement(select); ResultSet result = statement.executeQuery()) {
                    ResultSetMetaData meta = result.getMetaData();
                    while (result.next()) {
                        for (int column = 2; column <= meta.getColumnCount(); column++) {
                            String name = "types." + way + "." + result.getInt(1) + "." + meta.getColumnName(column);
                            // No class of Java's holds a negative time of day.
                            boolean text = meta.getColumnType(column) == Types.TIME;
                            fact(name, text ? result.getString(column) : result.getObject(column));
                        }
                    }
                }
                String found = "SELECT id FROM drv_types WHERE exact = ? AND text_ = ? AND bytes_ = ?";
                try (PreparedStatement statement = conn.prepareStatement(found)) {
                    statement.setBigDecimal(1, new BigDecimal("1234567890123456789012345678.0123456789"));
                    statement.setString(2, TEXT);
                    statement.setBytes(3, BLOB);
                    fact("types." + way + ".found", rows(statement.executeQuery()));
                }
                run(conn, "SET SESSION sql_mode = ''");
                run(conn, "INSERT INTO drv_types (id, date_, datetime_) VALUES (4, '0000-00-00', '2024-00-00 00:00:00')");
                try (PreparedStatement statement = conn.prepareStatement("SELECT date_ FROM drv_types WHERE id = 4");
                        ResultSet result = statement.executeQuery()) {
                    result.next();
                    fact("types." + way + ".zero_date", result.getString(1));
                }
                run(conn, "DROP TABLE drv_types");
            }
        }
    }

    private static void prepared() throws SQLException {
        try (Connection conn = connect("useServerPrepStmts=true")) {
            try (PreparedStatement statement = conn.prepareStatement("SELECT ? + 1, CONCAT(?, '!')")) {
                for (Integer value : new Integer[] {1, null, 3}) {
                    statement.setObject(1, value);
                    statement.setString(2, TEXT);
                    fact("prepared." + value, rows(statement.executeQuery()));
                }
            }
            fact("prepared.error", errorOf(() -> {
                PreparedStatement statement = conn.prepareStatement("SELECT * FROM drv_nowhere WHERE id = ?");
                statement.setInt(1, 1);
                statement.execute();
            }));
            fact("prepared.goes_on", rows(conn, "SELECT 1"));
        }
    }

    private static void blobs() throws Exception {
        for (String way : new String[] {"false", "true"}) {
            try (Connection conn = connect("useServerPrepStmts=" + way)) {
                run(conn, "DROP TABLE IF EXISTS drv_blob");
                run(conn, "CREATE TABLE drv_blob (id INT PRIMARY KEY, data LONGBLOB)");
                try (PreparedStatement insert = conn.prepareStatement("INSERT INTO drv_blob VALUES (?, ?)");
                        PreparedStatement select = conn.prepareStatement("SELECT data FROM drv_blob WHERE id = ?")) {
                    int id = 0;
                    for (byte[] data : new byte[][] {BLOB, LARGE, LARGE}) {
                        id += 1;
                        insert.setInt(1, id);
                        if (id == 3) {
                            insert.setBinaryStream(2, new ByteArrayInputStream(data));
                        } else {
                            insert.setBytes(2, data);
                        }
                        insert.execute();
                        select.setInt(1, id);
                        try (ResultSet result = select.executeQuery()) {
                            result.next();
                            byte[] back = result.getBytes(1);
                            fact("blob." + way + "." + id, back);
                            fact("blob." + way + "." + id + ".same", Arrays.equals(back, data));
                        }
                    }
                }
                run(conn, "DROP TABLE drv_blob");
            }
        }
    }

    private static void transactions() throws SQLException {
        String count = "SELECT COUNT(*) FROM drv_account";
        try (Connection conn = connect(); Connection other = connect()) {
            run(conn, "DROP TABLE IF EXISTS drv_account");
            run(conn, "CREATE TABLE drv_account (id INT PRIMARY KEY AUTO_INCREMENT, amount INT) ENGINE=InnoDB");
            conn.setAutoCommit(false);
            try (PreparedStatement insert = conn.prepareStatement(
                    "INSERT INTO drv_account (amount) VALUES (?)", Statement.RETURN_GENERATED_KEYS)) {
                insert.setInt(1, 100);
                fact("transaction.insert", insert.executeUpdate());
                fact("transaction.keys", rows(insert.getGeneratedKeys()));
            }
            fact("transaction.unseen", rows(other, count));
            conn.commit();
            fact("transaction.committed", rows(other, count));
            run(conn, "INSERT INTO drv_account (amount) VALUES (200)");
            conn.rollback();
            fact("transaction.rolled_back", rows(conn, count));
            Savepoint half = conn.setSavepoint("half");
            run(conn, "INSERT INTO drv_account (amount) VALUES (300)");
            conn.rollback(half);
            conn.commit();
            fact("transaction.savepoint", rows(conn, count));
            fact("transaction.duplicate", errorOf(() -> run(conn, "INSERT INTO drv_account VALUES (1, 1)")));
            conn.rollback();
            conn.setTransactionIsolation(Connection.TRANSACTION_SERIALIZABLE);
            fact("transaction.isolation", conn.getTransactionIsolation());
            run(conn, "UPDATE drv_account SET amount = 7 WHERE id = 1");
            run(other, "SET innodb_lock_wait_timeout = 1");
            fact("transaction.lock_wait", errorOf(() -> run(other, "UPDATE drv_account SET amount = 8 WHERE id = 1")));
            conn.commit();
            conn.setReadOnly(true);
            fact("transaction.read_only", rows(conn, count));
        }
    }

    private static void errors() throws SQLException {
        try (Connection conn = connect()) {
            fact("error.syntax", errorOf(() -> run(conn, "SELEKT 1")));
            fact("error.no_table", errorOf(() -> run(conn, "SELECT * FROM drv_nowhere")));
            try (Statement statement = conn.createStatement()) {
                statement.execute("DROP TABLE IF EXISTS drv_not_there");
                fact("error.warning", statement.getWarnings().getErrorCode());
            }
            fact("error.goes_on", rows(conn, "SELECT 1"));
        }
    }

    private static void big() throws SQLException {
        try (Connection conn = connect()) {
            run(conn, "DROP TABLE IF EXISTS drv_ten");
            run(conn, "CREATE TABLE drv_ten (n INT PRIMARY KEY)");
            run(conn, "INSERT INTO drv_ten VALUES (0),(1),(2),(3),(4),(5),(6),(7),(8),(9)");
        }
        for (String way : new String[] {"false", "true"}) {
            for (int fetchSize : new int[] {0, 1000}) {
                try (Connection conn = connect("useServerPrepStmts=" + way);
                        PreparedStatement statement = conn.prepareStatement(BIG)) {
                    statement.setFetchSize(fetchSize);
                    long rows = 0;
                    long sum = 0;
                    long bytes = 0;
                    try (ResultSet result = statement.executeQuery()) {
                        while (result.next()) {
                            rows += 1;
                            sum += result.getLong(1);
                            bytes += result.getString(2).length();
                        }
                    }
                    fact("big." + way + "." + fetchSize, Arrays.asList(rows, sum, bytes));
                }
            }
        }
        // Left in the middle.
        try (Connection conn = connect(); Statement statement = conn.createStatement()) {
            statement.setFetchSize(10);
            try (ResultSet result = statement.executeQuery(BIG)) {
                result.next();
            }
            fact("big.left", rows(conn, "SELECT 8"));
        }
    }

    private static void batches() throws SQLException {
        Map<String, String[]> ways = new LinkedHashMap<>();
        ways.put("rewritten", new String[] {"rewriteBatchedStatements=true"});
        ways.put("bulk", new String[] {"useBulkStmts=true", "useServerPrepStmts=true"});
        ways.put("pipelined", new String[] {"useBulkStmts=false", "useBatchMultiSend=true"});
        ways.put("one_by_one", new String[] {"useBulkStmts=false", "useBatchMultiSend=false", "useServerPrepStmts=true"});
        for (Map.Entry<String, String[]> way : ways.entrySet()) {
            String name = "batch." + way.getKey();
            try (Connection conn = connect(way.getValue())) {
                run(conn, "DROP TABLE IF EXISTS drv_bulk");
                run(conn, "CREATE TABLE drv_bulk (id INT PRIMARY KEY, name VARCHAR(40))");
                conn.setAutoCommit(false);
                String insert = "INSERT INTO drv_bulk VALUES (?, ?)";
                try (PreparedStatement statement = conn.prepareStatement(insert)) {
                    for (int n = 0; n < 5000; n++) {
                        statement.setInt(1, n);
                        statement.setString(2, n % 7 == 0 ? null : "name " + n);
                        statement.addBatch();
                    }
                    fact(name, statement.executeBatch().length);
                }
                conn.commit();
                fact(name + ".stored", rows(conn, "SELECT COUNT(*), COUNT(name), SUM(id) FROM drv_bulk"));
                try (PreparedStatement statement = conn.prepareStatement(insert)) {
                    for (int n : new int[] {6000, 1, 6001}) {
                        statement.setInt(1, n);
                        statement.setString(2, "x");
                        statement.addBatch();
                    }
                    try {
                        statement.executeBatch();
                        fact(name + ".duplicate", "no error");
                    } catch (BatchUpdateException error) {
                        fact(name + ".duplicate", error.getErrorCode() + " " + Arrays.toString(error.getUpdateCounts()));
                    }
                }
                conn.rollback();
                try (Statement statement = conn.createStatement()) {
                    for (int n = 0; n < 100; n++) {
                        statement.addBatch("UPDATE drv_bulk SET name = 'y' WHERE id = " + n);
                    }
                    fact(name + ".statements", Arrays.stream(statement.executeBatch()).sum());
                }
                conn.commit();
                run(conn, "DROP TABLE drv_bulk");
            }
        }
    }

    private static void multiStatements() throws SQLException {
        try (Connection conn = connect("allowMultiQueries=true"); Statement statement = conn.createStatement()) {
            boolean isRows = statement.execute("SELECT 1; SELECT 2, 'b'; DO 0; SELECT 3");
            List<Object> results = new ArrayList<>();
            while (isRows || statement.getUpdateCount() != -1) {
                results.add(isRows ? rows(statement.getResultSet()) : "affected " + statement.getUpdateCount());
                isRows = statement.getMoreResults();
            }
            fact("multi.results", results);
            fact("multi.error", errorOf(() -> {
                statement.execute("SELECT 1; SELECT * FROM drv_nowhere; SELECT 3");
                statement.getMoreResults();
            }));
            fact("multi.goes_on", rows(conn, "SELECT 4"));
        }
    }

    private static void procedures() throws SQLException {
        for (String way : new String[] {"false", "true"}) {
            try (Connection conn = connect("useServerPrepStmts=" + way)) {
                run(conn, "DROP PROCEDURE IF EXISTS drv_procedure");
                run(conn, "CREATE PROCEDURE drv_procedure(IN a INT, OUT b INT, INOUT c INT) "
                        + "BEGIN SELECT a AS first_, 'one' AS word; SET b = a * 2; SET c = c + 1; SELECT b AS second_; END");
                try (CallableStatement call = conn.prepareCall("{call drv_procedure(?, ?, ?)}")) {
                    call.setInt(1, 21);
                    call.registerOutParameter(2, Types.INTEGER);
                    call.setInt(3, 8);
                    call.registerOutParameter(3, Types.INTEGER);
                    boolean isRows = call.execute();
                    List<Object> results = new ArrayList<>();
                    while (isRows) {
                        results.add(rows(call.getResultSet()));
                        isRows = call.getMoreResults();
                    }
                    fact("procedure." + way + ".results", results);
                    fact("procedure." + way + ".out", call.getInt(2) + " " + call.getInt(3));
                }
                run(conn, "DROP PROCEDURE drv_procedure");
            }
        }
    }

    private static void infile() throws Exception {
        Path file = Files.createTempFile("ackline-drivers-", ".csv");
        try (Connection conn = connect("allowLocalInfile=true"); Statement statement = conn.createStatement()) {
            StringBuilder text = new StringBuilder();
            for (int n = 0; n < 20000; n++) {
                text.append(n).append(",name-").append(n).append('\n');
            }
            Files.write(file, text.toString().getBytes(StandardCharsets.UTF_8));
            run(conn, "DROP TABLE IF EXISTS drv_infile");
            run(conn, "CREATE TABLE drv_infile (id INT, name VARCHAR(40))");
            String load = "LOAD DATA LOCAL INFILE '" + file + "' INTO TABLE drv_infile FIELDS TERMINATED BY ','";
            fact("infile.first", statement.executeUpdate(load));
            fact("infile.again", statement.executeUpdate(load));
            fact("infile.stored", rows(conn, "SELECT COUNT(*), SUM(id) FROM drv_infile"));
            run(conn, "DROP TABLE drv_infile");
        } finally {
            Files.delete(file);
        }
    }

    private static void times() throws SQLException {
        try (Connection conn = connect("useLegacyDatetimeCode=false", "serverTimezone=UTC")) {
            run(conn, "DROP TABLE IF EXISTS drv_stamp");
            run(conn, "CREATE TABLE drv_stamp (at TIMESTAMP(3) NULL)");
            run(conn, "SET time_zone = '+00:00'");
            run(conn, "INSERT INTO drv_stamp VALUES ('2024-07-01 12:00:00.005')");
            for (String zone : new String[] {"+00:00", "+05:30", "-08:00"}) {
                run(conn, "SET time_zone = '" + zone + "'");
                fact("time_zone." + zone, rows(conn, "SELECT CAST(at AS CHAR) FROM drv_stamp"));
            }
            run(conn, "DROP TABLE drv_stamp");
        }
    }

    private static void sessions() throws SQLException {
        try (Connection conn = connect("useCompression=true")) {
            try (Statement statement = conn.createStatement();
                    ResultSet result = statement.executeQuery("SELECT REPEAT('z', 1000000)")) {
                result.next();
                fact("session.compress", result.getString(1).length());
            }
            conn.setCatalog("information_schema");
            fact("session.catalog", conn.getCatalog());
        }
        try (Connection conn = connect(); Statement statement = conn.createStatement()) {
            statement.setMaxRows(3);
            fact("session.max_rows", rows(statement.executeQuery("SELECT n FROM drv_ten ORDER BY n")));
            try (ResultSet keys = conn.getMetaData().getPrimaryKeys(at("DATABASE"), null, "drv_ten")) {
                keys.next();
                fact("session.primary_key", keys.getString("COLUMN_NAME"));
            }
        }
    }

    /** Of the process list. MySQL cannot show one in which another session's statement is no text. */
    private static String counted(Connection conn, String query) throws Exception {
        try {
            return rows(conn, query).get(0).get(0);
        } catch (SQLException error) {
            if (String.valueOf(error.getMessage()).contains("Cannot convert string")) {
                return "";
            }
            throw error;
        }
    }

    private static void kill() throws Exception {
        try (Connection killer = connect()) {
            // The driver's own cancel, and its own timeout: both are KILL QUERY on another connection.
            try (Connection conn = connect(); Statement statement = conn.createStatement()) {
                String number = rows(conn, "SELECT CONNECTION_ID()").get(0).get(0);
                String running = "SELECT COUNT(*) FROM " + at("PROCESSES") + " WHERE ID = " + number
                        + " AND INFO LIKE 'SELECT n FROM%'";
                Thread canceller = new Thread(() -> {
                    try {
                        while (!counted(killer, running).equals("1")) {
                            Thread.sleep(20);
                        }
                        statement.cancel();
                    } catch (Exception error) {
                        fact("kill.cancel", "FAILED " + error);
                    }
                });
                canceller.start();
                fact("kill.cancel", errorOf(() -> statement.executeQuery("SELECT n FROM drv_ten WHERE SLEEP(60) = 0")));
                canceller.join();
                fact("kill.cancel.goes_on", rows(conn, "SELECT 2"));
                statement.setQueryTimeout(1);
                fact("kill.timeout", errorOf(() -> statement.executeQuery("SELECT n FROM drv_ten WHERE SLEEP(60) = 0")));
                statement.setQueryTimeout(0);
                run(killer, "KILL " + number);
                while (!counted(killer, "SELECT COUNT(*) FROM " + at("PROCESSES") + " WHERE ID = " + number)
                        .equals("0")) {
                    Thread.sleep(20);
                }
                Thread.sleep(300);
                fact("kill.connection", errorOf(() -> statement.executeQuery("SELECT 3")).split(" ")[1]);
                fact("kill.valid", conn.isValid(5));
            }
            try (Connection conn = connect("autoReconnect=true")) {
                run(killer, "KILL " + rows(conn, "SELECT CONNECTION_ID()").get(0).get(0));
                Thread.sleep(300);
                try {
                    rows(conn, "SELECT 5");
                } catch (SQLException once) {
                    fact("kill.told", once.getSQLState());
                }
                fact("kill.reconnect", rows(conn, "SELECT 4"));
            }
        }
    }

    /** As in ../python/facts.py. */
    private static void login(String name) throws SQLException {
        try (Connection conn = connect()) {
            fact(name, rows(conn, "SELECT 6 * 7"));
        } catch (SQLException error) {
            boolean certificate = String.valueOf(error.getMessage()).contains("certification path");
            fact(name, error.getErrorCode() + " " + error.getSQLState() + " " + certificate);
        }
    }

    /** A pool that was open before, and a connection that connects by itself again. */
    private static void restart() throws Exception {
        MariaDbPoolDataSource pool = new MariaDbPoolDataSource(url(at("DATABASE"), "maxPoolSize=3"));
        pool.setUser(at("USER"));
        pool.setPassword(at("PASSWORD"));
        List<Connection> conns = new ArrayList<>();
        for (int n = 0; n < 3; n++) {
            conns.add(pool.getConnection());
        }
        Connection first = conns.get(0);
        run(first, "DROP TABLE IF EXISTS drv_restart");
        run(first, "CREATE TABLE drv_restart (id INT PRIMARY KEY)");
        run(first, "INSERT INTO drv_restart VALUES (1)");
        conns.get(1).close();
        conns.get(2).close();
        first.setAutoCommit(false);
        run(first, "INSERT INTO drv_restart VALUES (2)");
        Connection again = connect("autoReconnect=true");
        Files.createFile(Path.of(at("READY")));
        while (!Files.exists(Path.of(at("GO")))) {
            Thread.sleep(20);
        }
        try {
            first.commit();
            fact("restart.commit", "not told");
        } catch (SQLException error) {
            fact("restart.commit", "told");
        }
        first.close();
        for (int n = 0; n < 3; n++) {
            try (Connection conn = pool.getConnection()) {
                fact("restart.goes_on", rows(conn, "SELECT id FROM drv_restart"));
            }
        }
        try {
            rows(again, "SELECT 5");
        } catch (SQLException once) {
            fact("restart.told", once.getSQLState());
        }
        fact("restart.reconnect", rows(again, "SELECT id FROM drv_restart"));
        again.close();
        pool.close();
    }

    private static Map<String, Chapter> chapters() {
        Map<String, Chapter> chapters = new LinkedHashMap<>();
        String only = at("CHAPTER");
        if (only != null) {
            chapters.put(only, only.equals("restart") ? Smoke::restart : () -> login(only));
            return chapters;
        }
        chapters.put("connect", Smoke::connects);
        chapters.put("types", Smoke::types);
        chapters.put("prepared", Smoke::prepared);
        chapters.put("blobs", Smoke::blobs);
        chapters.put("transactions", Smoke::transactions);
        chapters.put("errors", Smoke::errors);
        chapters.put("big", Smoke::big);
        chapters.put("batches", Smoke::batches);
        chapters.put("multi_statements", Smoke::multiStatements);
        chapters.put("procedures", Smoke::procedures);
        chapters.put("infile", Smoke::infile);
        chapters.put("times", Smoke::times);
        chapters.put("sessions", Smoke::sessions);
        chapters.put("kill", Smoke::kill);
        return chapters;
    }

    public static void main(String[] arguments) {
        int failed = 0;
        for (Map.Entry<String, Chapter> chapter : chapters().entrySet()) {
            try {
                chapter.getValue().run();
            } catch (Exception error) {
                // The others are still worth knowing.
                failed += 1;
                fact(chapter.getKey(), "FAILED " + error);
                error.printStackTrace();
            }
        }
        System.exit(failed == 0 ? 0 : 1);
    }
}
