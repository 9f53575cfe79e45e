import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.SQLException;

/** MariaDB Connector/J, for tests/suite/tls_own.rs: one login over TLS that is told no authority. */
public final class Vouched {
    public static void main(String[] words) {
        String url = "jdbc:mariadb://" + words[0] + ":" + words[1] + "/?sslMode=verify-full";
        try (Connection connection = DriverManager.getConnection(url, words[2], words[3]);
                ResultSet rows = connection.createStatement().executeQuery("SELECT CURRENT_USER()")) {
            rows.next();
            System.out.println("in as " + rows.getString(1));
        } catch (SQLException error) {
            System.out.println("out: " + error.getMessage());
        }
    }
}
