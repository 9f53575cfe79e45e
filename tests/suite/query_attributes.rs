//! Query attributes: the real server and we find the same text behind them, whatever their types.

use std::process::Command;
use std::time::Duration;

use crate::differential::client::Client;
use crate::differential::script::{Act, Compare, Step};
use crate::support::mysql;
use crate::support::session::{PASSWORD, Proxy, Server, USER};
use ackline::protocol::Capabilities as C;

/// Every type that is let through, with a value as clients send it.
const VALUES: &[(u8, &[u8])] = &[
    (1, b"\x07"),
    (2, b"ab"),
    (3, b"abcd"),
    (4, b"\0\0\x80\x3F"),
    (5, b"\0\0\0\0\0\0\xF0\x3F"),
    (8, b"abcdefgh"),
    (7, b"\x04\xE8\x07\x0B\x17"),
    (10, b"\x04\xE8\x07\x0B\x17"),
    (11, b"\x08\0\0\0\0\0\x01\x02\x03"),
    (12, b"\x07\xE8\x07\x0B\x17\x01\x02\x03"),
    (12, b"\0"),
    (15, b"\x02xy"),
    (246, b"\x031.5"),
    (249, b"\x02xy"),
    (250, b"\x02xy"),
    (251, b"\x02xy"),
    (252, b"\xFC\x02\0xy"),
    (253, b"\x02xy"),
    (254, b"\x02xy"),
];

/// COM_QUERY with these, one after the other; each is NULL in its turn where `null` says so.
fn query(values: &[(u8, &[u8])], null: Option<usize>, text: &str) -> Step {
    let mut command = vec![3, values.len() as u8, 1];
    let mut nulls = vec![0; values.len().div_ceil(8)];
    if let Some(null) = null {
        nulls[null / 8] |= 1 << (null % 8);
    }
    command.extend(nulls);
    command.push(1);
    for (kind, _) in values {
        command.extend([*kind, 0, 1, b'n']);
    }
    for (number, (_, value)) in values.iter().enumerate() {
        if null != Some(number) {
            command.extend(*value);
        }
    }
    command.extend(text.as_bytes());
    Step {
        name: format!("{values:?} {null:?}"),
        act: Act::Send(vec![command]),
        compare: Compare::All,
        silent: false,
        large: false,
    }
}

#[test]
fn a_hazard_is_seen_behind_attributes_of_every_type() {
    let Some(programs) = mysql::programs("a_hazard_is_seen_behind_attributes_of_every_type") else {
        return;
    };
    let server = Server::start_mysql(&programs);
    let proxy = Proxy::start(&server);
    let capabilities = C::CLIENT_MYSQL
        .with(C::PROTOCOL_41)
        .with(C::TRANSACTIONS)
        .with(C::SECURE_CONNECTION)
        .with(C::PLUGIN_AUTH)
        .with(C::QUERY_ATTRIBUTES);
    let login = |port| {
        let mut client = Client::login(port, capabilities, Duration::from_millis(30));
        client.attributes = false;
        client
    };
    let (mut direct, mut proxied) = (login(server.port), login(proxy.port));
    let mut queries = Vec::new();
    for value in VALUES {
        queries.push((std::slice::from_ref(value), None));
        queries.push((std::slice::from_ref(value), Some(0)));
    }
    queries.extend((0..VALUES.len()).map(|null| (VALUES, Some(null))));
    for (values, null) in queries {
        let step = query(values, null, "SET sql_log_bin = 0");
        let says = direct.run(&step);
        assert_eq!(says[0].1[0], 0, "the server: {}: {says:?}", step.name);
        let says = proxied.run(&step);
        let refused = says[0].1.starts_with(b"\xFF\xCB\x04");
        assert!(refused, "we: {}: {says:?}", step.name);
        let harmless = query(values, null, "DO 1");
        assert_eq!(proxied.run(&harmless)[0].1[0], 0, "{}", step.name);
    }
    // Its value would be read as part of the text.
    let says = proxied.run(&query(&[(6, b"")], None, "SET sql_log_bin = 0"));
    assert!(says[0].1.starts_with(b"\xFF\x2B\x07"), "{says:?}");
    let step = query(&[(6, b"")], Some(0), "SET sql_log_bin = 0");
    assert!(proxied.run(&step)[0].1.starts_with(b"\xFF\xCB\x04"));
    // What the server may read otherwise than we do never reaches it.
    let mut broken = query(&VALUES[..1], None, "DO 1");
    if let Act::Send(commands) = &mut broken.act {
        commands[0][2] = 2;
    }
    let says = proxied.run(&broken);
    assert!(says[0].1.starts_with(b"\xFF\x2B\x07"), "{says:?}");
    assert_eq!(proxied.run(&query(&[], None, ""))[0].1[0], 0xFF);
}

#[test]
fn the_command_line_of_mysql_sends_them() {
    let Some(programs) = mysql::programs("the_command_line_of_mysql_sends_them") else {
        return;
    };
    let server = Server::start_mysql(&programs);
    let says = |port: u16, statement: &str| {
        let output = Command::new(mysql::program("mysql"))
            .args(["--no-defaults", "-h127.0.0.1", "-N", "-B", "shop"])
            .arg(format!("-P{port}"))
            .arg(format!("-u{USER}"))
            .args([
                "--get-server-public-key",
                "--commands",
                "-G",
                "-e",
                statement,
            ])
            .env("MYSQL_PWD", PASSWORD)
            .output()
            .unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        (String::from_utf8(output.stdout).unwrap(), error)
    };
    let proxy = Proxy::start(&server);
    let asks =
        "query_attributes trace 00-4bf9 who me\nSELECT mysql_query_attribute_string('trace')";
    let (_, error) = says(
        server.port,
        "INSTALL COMPONENT 'file://component_query_attributes'",
    );
    let direct = says(server.port, asks);
    if error.is_empty() {
        assert_eq!(direct.0, "00-4bf9\n");
    }
    assert_eq!(says(proxy.port, asks), direct);
    let (_, refused) = says(proxy.port, "query_attributes a b\nSET sql_log_bin = 0");
    assert!(refused.contains("1227"), "{refused}");
}
