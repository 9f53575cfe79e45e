#!/usr/bin/perl
# Somebody in the middle: passes on what a client and a server of MySQL's protocol say, over TLS on both sides,
# to the client with a certificate of his own: middle.pl ADDRESS PORT SERVER SERVERPORT CERTIFICATE KEY
use strict;
use warnings;
use IO::Socket::IP;
use IO::Socket::SSL;

my ($address, $port, $server, $server_port, $certificate, $key) = @ARGV;
$SIG{CHLD} = 'IGNORE';
$SIG{PIPE} = 'IGNORE';
my $listener = IO::Socket::IP->new(LocalHost => $address, LocalPort => $port, Listen => 5, ReuseAddr => 1)
    or die "no listener: $@\n";
while (1) {
    my $client = $listener->accept or next;
    my $pid = fork;
    die "no fork: $!\n" unless defined $pid;
    if ($pid == 0) {
        serve($client);
        exit 0;
    }
    close $client;
}

sub read_exactly {
    my ($from, $length) = @_;
    my $bytes = '';
    while (length $bytes < $length) {
        sysread($from, $bytes, $length - length $bytes, length $bytes) or exit 1;
    }
    return $bytes;
}

sub read_packet {
    my ($from) = @_;
    my $head = read_exactly($from, 4);
    return $head . read_exactly($from, unpack('V', substr($head, 0, 3) . "\0"));
}

sub serve {
    my ($client) = @_;
    my $upstream = IO::Socket::IP->new(PeerHost => $server, PeerPort => $server_port)
        or die "no server: $@\n";
    syswrite($client, read_packet($upstream));
    # A client that wants TLS says so with the head of its answer alone.
    my $asks = read_packet($client);
    die "the client does not ask for TLS\n" unless length $asks == 36;
    syswrite($upstream, $asks);
    IO::Socket::SSL->start_SSL($upstream, SSL_verify_mode => SSL_VERIFY_NONE)
        or die "no TLS with the server: $SSL_ERROR\n";
    IO::Socket::SSL->start_SSL($client, SSL_server => 1, SSL_cert_file => $certificate, SSL_key_file => $key)
        or die "no TLS with the client: $SSL_ERROR\n";
    my %other = ($client => $upstream, $upstream => $client);
    while (1) {
        my @ready = grep { $_->pending } $client, $upstream;
        if (!@ready) {
            my $bits = '';
            vec($bits, fileno($_), 1) = 1 for $client, $upstream;
            select($bits, undef, undef, undef);
            @ready = grep { vec($bits, fileno($_), 1) } $client, $upstream;
        }
        for my $from (@ready) {
            sysread($from, my $bytes, 16384) or exit 0;
            print { $other{$from} } $bytes;
        }
    }
}
