#!/usr/bin/env perl
# DBD::MariaDB and DBD::mysql, both of MariaDB's C connector: dbd.pl MariaDB|mysql
# Facts are as in ../python/facts.py.
use strict;
use warnings;
use utf8;
use DBI;
use Digest::SHA qw(sha1_hex);
use Encode qw(encode_utf8 is_utf8);
use File::Temp;
use Time::HiRes qw(sleep);

my $driver = shift or die "usage: dbd.pl MariaDB|mysql\n";
my $p = $driver eq 'MariaDB' ? 'mariadb' : 'mysql';
my $failed = 0;
$| = 1;
binmode STDOUT;

sub at {
    my ($name) = @_;
    return $ENV{"ACKLINE_DB_$name"};
}

sub connected {
    my (%more) = @_;
    my $database = delete $more{database} // at('DATABASE');
    my $password = delete $more{password} // at('PASSWORD');
    my $dsn = "DBI:$driver:database=$database;host=" . at('HOST') . ';port=' . at('PORT');
    $dsn .= ";${p}_ssl=1;${p}_ssl_verify_server_cert=1;${p}_ssl_ca_file=" . at('TLS_CA') if at('TLS_CA');
    # As it is built in Debian it cannot insist; the proxy does.
    $dsn .= ";mysql_ssl_optional=1" if at("TLS_CA") && $driver eq "mysql";
    $dsn .= delete $more{dsn} if $more{dsn};
    my %options = (RaiseError => 1, PrintError => 0, AutoCommit => 1, %more);
    $options{mysql_enable_utf8mb4} = 1 if $driver eq 'mysql';
    return DBI->connect($dsn, at('USER'), $password, \%options);
}

sub shown {
    my ($value) = @_;
    return 'NULL' unless defined $value;
    return '(' . join(', ', map { shown($_) } @$value) . ')' if ref $value;
    $value = encode_utf8($value) if is_utf8($value);
    return length($value) . ' bytes ' . substr(sha1_hex($value), 0, 12) if length($value) > 200;
    return '0x' . unpack('H*', $value) if $value =~ /[\x00-\x1f]/;
    return $value;
}

sub fact {
    my ($name, $value) = @_;
    print encode_utf8($name), ': ', shown($value), "\n";
    return;
}

# Number and SQLSTATE of what must fail.
sub error_of {
    my ($action) = @_;
    my @error;
    {
        local $@;
        eval { $action->(); 1 } and die "no error\n";
        @error = ($DBI::err, $DBI::state);
    }
    return \@error;
}

my $TEXT = "Grüße \x{1f42c} 日本 '\"\\ %s";
my $BLOB = join('', map { chr } 0 .. 255) x 300;
my $LARGE = substr($BLOB, 0, 251) x 71_000;
my $BIG = q{SELECT a.n + 10 * b.n + 100 * c.n + 1000 * d.n + 10000 * e.n + 100000 * f.n AS n, REPEAT('x', 100)
    FROM drv_ten a, drv_ten b, drv_ten c, drv_ten d, drv_ten e, drv_ten f WHERE f.n < 2 ORDER BY n};

sub bind_all {
    my ($statement, @values) = @_;
    my $at = 0;
    for my $value (@values) {
        $at += 1;
        if (defined $value && !is_utf8($value) && $value =~ /[\x00\x80-\xff]/) {
            $statement->bind_param($at, $value, DBI::SQL_BLOB());
        }
        else {
            $statement->bind_param($at, $value);
        }
    }
    return $statement->execute;
}

my @chapters = (
    connect => sub {
        my $db = connected();
        fact('connect', $db->selectall_arrayref('SELECT 6 * 7'));
        fact('connect.charset', $db->selectrow_array('SELECT @@character_set_client'));
        fact('connect.ping', $db->ping ? 'yes' : 'no');
        fact('connect.id', $db->selectrow_array('SELECT CONNECTION_ID()') == $db->{"${p}_thread_id"} ? 'same' : 'other');
        $db->disconnect;
        fact('connect.refused', error_of(sub { connected(password => 'wrong') }));
        fact('connect.no_database', error_of(sub { connected(database => 'drv_nowhere') }));
    },

    types => sub {
        my @rows = (
            [1, '18446744073709551615', -128, '1234567890123456789012345678.0123456789', 0.1, $TEXT, $BLOB,
                '2024-02-29', '-112:34:56.123456', '2024-02-29 23:59:59.123456', 2024, "\x02\xaa",
                "{\"a\": [1, 2.5, null], \"b\": \"\x{fc}\"}", 'green', 'a,c', undef],
            [2, 0, 127, '-0.0000000001', -1.5e300, '', '', '1000-01-01', '838:59:58', '9999-12-31', 1901, "\0\0", '[]',
                'red', '', 5],
            [3, (undef) x 15],
        );
        utf8::upgrade($rows[0][12]);
        for my $server_side (0, 1) {
            my $db = connected();
            my $way = $server_side ? 'prepared' : 'text';
            $db->{"${p}_server_prepare"} = $server_side;
            $db->do('DROP TABLE IF EXISTS drv_types');
            $db->do(q{CREATE TABLE drv_types (id INT PRIMARY KEY, big BIGINT UNSIGNED, tiny TINYINT,
                exact DECIMAL(38,10), approximate DOUBLE, text_ TEXT CHARACTER SET utf8mb4, bytes_ LONGBLOB,
                date_ DATE, time_ TIME(6), datetime_ DATETIME(6), year_ YEAR, bits BIT(10), json_ JSON,
                enum_ ENUM('red', 'green', 'blue'), set_ SET('a', 'b', 'c'), nothing INT NULL)
                CHARACTER SET utf8mb4});
            my $insert = $db->prepare('INSERT INTO drv_types VALUES (' . join(', ', ('?') x 16) . ')');
            bind_all($insert, @$_) for @rows;
            my $select = $db->prepare('SELECT * FROM drv_types ORDER BY id');
            $select->execute;
            while (my $row = $select->fetchrow_arrayref) {
                fact("types.$way.$row->[0].$select->{NAME}[$_]", $row->[$_]) for 1 .. 15;
            }
            my $found = $db->prepare('SELECT id FROM drv_types WHERE exact = ? AND text_ = ? AND bytes_ = ?');
            bind_all($found, @{ $rows[0] }[3, 5, 6]);
            fact("types.$way.found", $found->fetchall_arrayref);
            $db->do("SET SESSION sql_mode = ''");
            $db->do("INSERT INTO drv_types (id, date_, datetime_) VALUES (4, '0000-00-00', '2024-00-00 00:00:00')");
            my $zero = $db->prepare('SELECT date_, datetime_ FROM drv_types WHERE id = 4');
            $zero->execute;
            fact("types.$way.zero_date", $zero->fetchall_arrayref);
            $db->do('DROP TABLE drv_types');
            $db->disconnect;
        }
    },

    prepared => sub {
        my $db = connected();
        $db->{"${p}_server_prepare"} = 1;
        my $statement = $db->prepare('SELECT ? + 1, CONCAT(?, ?)');
        for my $value (1, undef, 3) {
            $statement->execute($value, $TEXT, '!');
            fact('prepared.' . ($value // 'null'), $statement->fetchall_arrayref);
        }
        fact('prepared.error', error_of(sub { $db->prepare('SELECT * FROM drv_nowhere WHERE id = ?')->execute(1) }));
        fact('prepared.goes_on', $db->selectrow_array('SELECT 7'));
        $db->disconnect;
    },

    blobs => sub {
        for my $server_side (0, 1) {
            my $db = connected(dsn => ";${p}_max_allowed_packet=67108864");
            $db->{"${p}_server_prepare"} = $server_side;
            $db->do('DROP TABLE IF EXISTS drv_blob');
            $db->do('CREATE TABLE drv_blob (id INT PRIMARY KEY, data LONGBLOB)');
            my $insert = $db->prepare('INSERT INTO drv_blob VALUES (?, ?)');
            my $id = 0;
            for my $data ($BLOB, $LARGE) {
                $id += 1;
                bind_all($insert, $id, $data);
                my $select = $db->prepare('SELECT data FROM drv_blob WHERE id = ?');
                $select->execute($id);
                my ($back) = $select->fetchrow_array;
                $select->finish;
                fact("blob.$server_side.$id", $back);
                fact("blob.$server_side.$id.same", $back eq $data ? 'yes' : 'no');
            }
            $db->do('DROP TABLE drv_blob');
            $db->disconnect;
        }
    },

    transactions => sub {
        my ($db, $other) = (connected(), connected());
        my $count = 'SELECT COUNT(*) FROM drv_account';
        $db->do('DROP TABLE IF EXISTS drv_account');
        $db->do('CREATE TABLE drv_account (id INT PRIMARY KEY AUTO_INCREMENT, amount INT) ENGINE=InnoDB');
        $db->begin_work;
        fact('transaction.insert', $db->do('INSERT INTO drv_account (amount) VALUES (?)', undef, 100));
        fact('transaction.last_id', $db->last_insert_id(undef, undef, undef, undef));
        fact('transaction.unseen', $other->selectrow_array($count));
        $db->commit;
        fact('transaction.committed', $other->selectrow_array($count));
        $db->begin_work;
        $db->do('INSERT INTO drv_account (amount) VALUES (200)');
        $db->rollback;
        fact('transaction.rolled_back', $db->selectrow_array($count));
        fact('transaction.duplicate', error_of(sub { $db->do('INSERT INTO drv_account VALUES (1, 1)') }));
        $db->begin_work;
        $db->do('UPDATE drv_account SET amount = 7 WHERE id = 1');
        $other->do('SET innodb_lock_wait_timeout = 1');
        fact('transaction.lock_wait', error_of(sub { $other->do('UPDATE drv_account SET amount = 8 WHERE id = 1') }));
        $db->commit;
        $_->disconnect for $db, $other;
    },

    errors => sub {
        my $db = connected();
        fact('error.syntax', error_of(sub { $db->do('SELEKT 1') }));
        fact('error.no_table', error_of(sub { $db->selectall_arrayref('SELECT * FROM drv_nowhere') }));
        $db->do('DROP TABLE IF EXISTS drv_not_there');
        fact('error.warning', [map { $_->[1] } @{ $db->selectall_arrayref('SHOW WARNINGS') }]);
        fact('error.goes_on', $db->selectrow_array('SELECT 1'));
        $db->disconnect;
    },

    big => sub {
        my $db = connected();
        $db->do('DROP TABLE IF EXISTS drv_ten');
        $db->do('CREATE TABLE drv_ten (n INT PRIMARY KEY)');
        $db->do('INSERT INTO drv_ten VALUES (0),(1),(2),(3),(4),(5),(6),(7),(8),(9)');
        my %ways = (stored => {}, prepared => { "${p}_server_prepare" => 1 });
        # DBD::MariaDB 1.22 fetches nothing of a result that it did not store.
        $ways{streamed} = { mysql_use_result => 1 } if $driver eq 'mysql';
        for my $way (sort keys %ways) {
            my $statement = $db->prepare($BIG, $ways{$way});
            $statement->execute;
            my ($rows, $sum, $bytes) = (0, 0, 0);
            while (my $row = $statement->fetchrow_arrayref) {
                $rows += 1;
                $sum += $row->[0];
                $bytes += length $row->[1];
            }
            fact("big.$way", [$rows, $sum, $bytes]);
        }
        $db->disconnect;
    },

    bulk => sub {
        my $db = connected();
        $db->do('DROP TABLE IF EXISTS drv_bulk');
        $db->do('CREATE TABLE drv_bulk (id INT PRIMARY KEY, name VARCHAR(40))');
        $db->begin_work;
        my $insert = $db->prepare('INSERT INTO drv_bulk VALUES (?, ?)');
        my $names = [map { $_ % 7 ? "name $_" : undef } 0 .. 1999];
        fact('bulk.array', scalar $insert->execute_array({}, [0 .. 1999], $names));
        $db->commit;
        fact('bulk.stored', $db->selectall_arrayref('SELECT COUNT(*), COUNT(name), SUM(id) FROM drv_bulk'));
        $db->do('DROP TABLE drv_bulk');
        $db->disconnect;
    },

    multi_statements => sub {
        my $db = connected(dsn => ";${p}_multi_statements=1");
        my $statement = $db->prepare("SELECT 1; SELECT 2, 'b'; DO 0; SELECT 3");
        $statement->execute;
        my @results;
        do {
            push @results, $statement->{NUM_OF_FIELDS} ? $statement->fetchall_arrayref : 'no rows';
        } while ($statement->more_results);
        fact('multi.results', \@results);
        $db->disconnect;
    },

    procedures => sub {
        my $db = connected();
        $db->do('DROP PROCEDURE IF EXISTS drv_procedure');
        $db->do(q{CREATE PROCEDURE drv_procedure(IN a INT, OUT b INT, INOUT c INT)
            BEGIN SELECT a AS first_, 'one' AS word; SET b = a * 2; SET c = c + 1; SELECT b AS second_; END});
        $db->do('SET @b = 0, @c = 8');
        my $statement = $db->prepare('CALL drv_procedure(21, @b, @c)');
        $statement->execute;
        my @results;
        do {
            push @results, $statement->fetchall_arrayref if $statement->{NUM_OF_FIELDS};
        } while ($statement->more_results);
        fact('procedure.results', \@results);
        fact('procedure.out', $db->selectall_arrayref('SELECT @b, @c'));
        $db->do('DROP PROCEDURE drv_procedure');
        $db->disconnect;
    },

    infile => sub {
        my $db = connected(dsn => ";${p}_local_infile=1");
        my $file = File::Temp->new(SUFFIX => '.csv');
        print {$file} "$_,name-$_\n" for 0 .. 19_999;
        $file->flush;
        $db->do('DROP TABLE IF EXISTS drv_infile');
        $db->do('CREATE TABLE drv_infile (id INT, name VARCHAR(40))');
        my $load = "LOAD DATA LOCAL INFILE '$file' INTO TABLE drv_infile FIELDS TERMINATED BY ','";
        fact("infile.$_", $db->do($load)) for qw(first again);
        fact('infile.missing', error_of(sub { $db->do("LOAD DATA LOCAL INFILE '/no/such/file' INTO TABLE drv_infile") }));
        fact('infile.stored', $db->selectall_arrayref('SELECT COUNT(*), SUM(id) FROM drv_infile'));
        $db->do('DROP TABLE drv_infile');
        $db->disconnect;
    },

    times => sub {
        my $db = connected();
        $db->do('DROP TABLE IF EXISTS drv_stamp');
        $db->do('CREATE TABLE drv_stamp (at TIMESTAMP(3) NULL)');
        $db->do("SET time_zone = '+00:00'");
        $db->do('INSERT INTO drv_stamp VALUES (?)', undef, '2024-07-01 12:00:00.005');
        for my $zone ('+00:00', '+05:30', '-08:00') {
            $db->do("SET time_zone = '$zone'");
            fact("time_zone.$zone", $db->selectrow_array('SELECT at FROM drv_stamp'));
        }
        $db->do('DROP TABLE drv_stamp');
        $db->disconnect;
    },

    compression => sub {
        my $db = connected(dsn => ";${p}_compression=1");
        fact('session.compress', length $db->selectrow_array("SELECT REPEAT('z', 1000000)"));
        $db->disconnect;
    },

    kill => sub {
        my $killer = connected();
        my $db = connected();
        my $id = $db->{"${p}_thread_id"};
        # It is killed from another process: this one waits for the answer.
        my $child = fork // die "fork: $!";
        if ($child == 0) {
            $_->{InactiveDestroy} = 1 for $killer, $db;
            my $other = connected();
            my $running = "SELECT COUNT(*) FROM @{[at('PROCESSES')]} WHERE ID = $id AND INFO LIKE 'SELECT n FROM%'";
            for (1 .. 3000) {
                last if $other->selectrow_array($running);
                sleep 0.02;
            }
            $other->do("KILL QUERY $id");
            $other->disconnect;
            require POSIX;
            POSIX::_exit(0);
        }
        fact('kill.query', error_of(sub { $db->selectall_arrayref('SELECT n FROM drv_ten WHERE SLEEP(60) = 0') }));
        waitpid $child, 0;
        fact('kill.query.goes_on', $db->selectrow_array('SELECT 2'));
        $killer->do("KILL $id");
        for (1 .. 3000) {
            last unless $killer->selectrow_array("SELECT COUNT(*) FROM @{[at('PROCESSES')]} WHERE ID = $id");
            sleep 0.02;
        }
        sleep 0.3;
        fact('kill.connection', error_of(sub { $db->selectall_arrayref('SELECT 3') }));
        fact('kill.ping', $db->ping ? 'yes' : 'no');
        my $again = connected("${p}_auto_reconnect" => 1);
        fact('kill.reconnect', $again->selectrow_array('SELECT 4'));
        $id = $again->{"${p}_thread_id"};
        $killer->do("KILL $id");
        sleep 0.3;
        fact('kill.auto_reconnect', $again->ping && $again->selectrow_array('SELECT 5'));
        $_->disconnect for $again, $killer;
    },
);

# As in ../python/facts.py.
my $only = at('CHAPTER') // '';

sub login {
    my $db = eval { connected() };
    fact($only, $db ? $db->selectrow_array('SELECT 6 * 7') : [$DBI::err, $DBI::state]);
    $db->disconnect if $db;
    return;
}

# A connection that connects by itself again.
sub restart {
    my $db = connected("${p}_auto_reconnect" => 1);
    $db->do('DROP TABLE IF EXISTS drv_restart');
    $db->do('CREATE TABLE drv_restart (id INT PRIMARY KEY)');
    $db->do('INSERT INTO drv_restart VALUES (1)');
    open my $ready, '>', at('READY') or die "ready: $!";
    close $ready;
    for (1 .. 3000) {
        last if -e at('GO');
        sleep 0.02;
    }
    fact('restart.ping', $db->ping ? 'yes' : 'no');
    fact('restart.goes_on', $db->selectall_arrayref('SELECT id FROM drv_restart'));
    $db->disconnect;
    return;
}

@chapters = $only eq 'restart' ? (restart => \&restart) : (login => \&login) if $only;
while (my ($name, $chapter) = splice @chapters, 0, 2) {
    next if eval { $chapter->(); 1 };
    # The others are still worth knowing.
    $failed += 1;
    chomp(my $said = $@);
    fact($name, "FAILED $said");
    warn "$name: $said\n";
}
exit($failed ? 1 : 0);
