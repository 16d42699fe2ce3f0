//! What the command line says: the arguments, their limits and their help texts.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Entries of the session cache when nothing is said.
pub(crate) const DEFAULT_ENTRIES: u64 = 65_536;
/// A TLS 1.3 ticket that the store does not end is accepted for a day at most.
const MAX_TIMEOUT_SECS: u64 = 86_400;

/// A TLS terminator, a load generator and a demonstration over one lock-free session cache.
#[derive(Debug, Parser)]
#[command(
    name = "halfshake",
    version,
    max_term_width = 100,
    after_help = "Exit status: 0 done; 1 done, but something failed; 2 could not begin, with one \
                  line on standard error that says what to do.\n\
                  HALFSHAKE_LOG sets how much is logged (error, warn, info, debug; default info)."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Serve(ServeArgs),
    Load(LoadArgs),
    Demo(DemoArgs),
}

/// Terminate TLS and resume the sessions of returning clients.
///
/// Accepts TLS 1.2 and 1.3, keeps the sessions in one cache in memory, and passes the bytes on to
/// --upstream. Without --upstream it answers each HTTP/1.1 request with a small page that says
/// whether this connection was resumed. No tickets under a key are issued: every resumption is
/// a look-up in the cache, and a TLS 1.3 session is good for one resumption only.
///
/// Signals: SIGTERM and Ctrl-C stop accepting, let connections finish for at most --grace seconds
/// and exit with status 0; a second one ends the grace. SIGHUP reads --cert, --key, --client-ca and
/// --seal-key again; sessions survive, since the cache does not belong to the certificate.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    halfshake serve --listen 127.0.0.1:8443\n  \
    curl -k https://127.0.0.1:8443/\n  \
    halfshake serve --listen 0.0.0.0:443 --cert chain.pem --key key.pem \\\n      \
    --upstream 127.0.0.1:8080 --admin 127.0.0.1:9443")]
pub(crate) struct ServeArgs {
    /// Address and port to accept TLS on; port 0 takes a free one and prints it.
    #[arg(long, value_name = "ADDR", value_parser = listen_address,
          default_value = "127.0.0.1:8443")]
    pub(crate) listen: SocketAddr,

    /// PEM file with the certificate chain, the leaf first.
    ///
    /// Without it a self-signed certificate for localhost is made in memory, new at each start (and
    /// at each SIGHUP with --client-ca).
    #[arg(long, value_name = "FILE", requires = "key")]
    pub(crate) cert: Option<PathBuf>,

    /// PEM file with the certificate's private key, unencrypted.
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub(crate) key: Option<PathBuf>,

    /// PEM file with the authorities of client certificates: each client has to show one.
    ///
    /// A session remembers its client, so a resumption does not show the certificate again; one
    /// that has expired meanwhile is refused. Sessions made without a certificate, or under other
    /// authorities, are not resumed.
    #[arg(long, value_name = "FILE")]
    pub(crate) client_ca: Option<PathBuf>,

    /// The library that terminates TLS.
    ///
    /// The same server on either, with sessions of its own in --external-dir. With openssl a
    /// connection that ends in an alert ends its session, too (RFC 5246, 7.2.2), and a ClientHello
    /// may cost any number of look-ups in memory.
    #[arg(long, value_name = "LIBRARY", value_enum, default_value_t = TlsBackend::Rustls)]
    pub(crate) tls_backend: TlsBackend,

    /// Where the decrypted bytes go, as HOST:PORT, over plain TCP.
    #[arg(long, value_name = "ADDR", value_parser = host_and_port)]
    pub(crate) upstream: Option<String>,

    /// The cache that sessions are kept in.
    ///
    /// rustls's own is here to be compared with. It knows no time, so that --cache-timeout does
    /// nothing, and no namespaces: it goes with none of --client-ca, --external-dir and
    /// --tls-backend openssl, a reload forgets its sessions, and --admin tells nothing of it.
    #[arg(long, value_name = "CACHE", value_enum, default_value_t = CacheKind::Halfshake)]
    pub(crate) cache: CacheKind,

    /// Most sessions that the cache holds; TLS 1.3 stores two for each connection.
    #[arg(long, value_name = "N", default_value_t = DEFAULT_ENTRIES,
          value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) cache_entries: u64,

    /// Seconds for which a session can be resumed, 1 to 86400.
    #[arg(long, value_name = "SECS", default_value_t = 7200,
          value_parser = clap::value_parser!(u64).range(1..=MAX_TIMEOUT_SECS))]
    pub(crate) cache_timeout: u64,

    /// Directory in which sessions are kept as files, beside the cache in memory.
    ///
    /// Sessions then survive a restart. The files are sealed with --seal-key; their names tell
    /// nothing. A TLS 1.3 session stays good for one resumption: its file goes before it is used.
    /// But who can write to the directory can put a file back, so keep it private, and out of
    /// backups. Made if it is not there. A local disk, for handshakes wait for it.
    #[arg(long, value_name = "DIR", requires = "seal_key")]
    pub(crate) external_dir: Option<PathBuf>,

    /// File with the keys of --external-dir: one a line, 64 hexadecimal digits, the newest first.
    ///
    /// The first one seals, all of them open; lines with # are comments. Only its owner may be able
    /// to read it. To rotate, put a new key before the others and send SIGHUP; take out the ones
    /// that are older than the --cache-timeout. Where processes share the directory, put it second
    /// for all of them, then first.
    #[arg(long, value_name = "FILE", requires = "external_dir")]
    pub(crate) seal_key: Option<PathBuf>,

    /// Most files in --external-dir; above it new sessions are kept in memory only.
    #[arg(long, value_name = "N", requires = "external_dir", default_value_t = 1_000_000,
          value_parser = clap::value_parser!(u64).range(1..=1 << 40))]
    pub(crate) external_entries: u64,

    /// Other processes use --external-dir, too: keep no sessions in memory.
    ///
    /// Else a TLS 1.3 session could be used once in each of them. All have to be given it.
    #[arg(long, requires = "external_dir")]
    pub(crate) external_shared: bool,

    /// Address and port for /metrics (Prometheus text) and /stats (JSON), over plain HTTP.
    #[arg(long, value_name = "ADDR", value_parser = listen_address)]
    pub(crate) admin: Option<SocketAddr>,

    /// Most bytes of early data (0-RTT) taken from a resuming TLS 1.3 client; 0 takes none.
    ///
    /// A replay of early data comes to nothing: the first use of a TLS 1.3 session takes it out of
    /// the cache, and early data is passed on only when the handshake has finished, which who
    /// replays it cannot do. Above 16384 rustls fails the handshakes of clients whose early data it
    /// has to refuse, for their session has left.
    #[arg(long, value_name = "BYTES", default_value_t = 0,
          value_parser = clap::value_parser!(u32).range(..=1_048_576))]
    pub(crate) early_data: u32,

    /// Oldest version of TLS to accept.
    #[arg(long, value_name = "VERSION", value_enum, default_value_t = TlsVersion::Tls12)]
    pub(crate) tls_min: TlsVersion,

    /// Newest version of TLS to accept.
    #[arg(long, value_name = "VERSION", value_enum, default_value_t = TlsVersion::Tls13)]
    pub(crate) tls_max: TlsVersion,

    /// Seconds that connections get to finish after SIGTERM or Ctrl-C.
    #[arg(long, value_name = "SECS", default_value_t = 10,
          value_parser = clap::value_parser!(u64).range(..=3600))]
    pub(crate) grace: u64,

    /// Most connections at one time; further ones wait in the listen queue.
    #[arg(long, value_name = "N", default_value_t = 8192,
          value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_connections: u32,
}

/// Make real TLS handshakes against a server and report what was resumed.
///
/// Each of the --concurrency workers connects again and again with a session memory of its own,
/// and offers a session on --resume-percent of its connections. A handshake counts as resumed when
/// the server agreed, not when a session was offered. After the handshake it sends one small
/// HTTP request and a close_notify, and reads to the end, so that TLS 1.3 tickets arrive.
///
/// The server's certificate is NOT verified: this measures, it protects nothing.
///
/// Latency runs from the first byte of the ClientHello to the finished handshake, without the TCP
/// connect; it includes waiting for a processor when --concurrency exceeds the processors.
/// Exit status 1 when any handshake failed.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  \
    halfshake load --connect 127.0.0.1:8443 --connections 20000 --concurrency 32 \\\n      \
    --resume-percent 80 --tls 1.3")]
pub(crate) struct LoadArgs {
    /// The server, as HOST:PORT.
    #[arg(long, value_name = "ADDR", value_parser = host_and_port)]
    pub(crate) connect: String,

    /// How many connections to make in all.
    #[arg(long, value_name = "N", default_value_t = 1000,
          value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) connections: u64,

    /// How many of them at the same time.
    #[arg(long, value_name = "N", default_value_t = 16,
          value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub(crate) concurrency: u32,

    /// How many percent of the connections offer a session, 0 to 100.
    ///
    /// The first connection of each worker has none to offer; it is made up for later.
    #[arg(long, value_name = "P", default_value_t = 80,
          value_parser = clap::value_parser!(u8).range(..=100))]
    pub(crate) resume_percent: u8,

    /// Version of TLS to speak; no other one is offered.
    #[arg(long, value_name = "VERSION", value_enum, default_value_t = TlsVersion::Tls13)]
    pub(crate) tls: TlsVersion,

    /// Name to ask the server for (SNI); the host of --connect when not given.
    #[arg(long, value_name = "NAME")]
    pub(crate) server_name: Option<String>,

    /// Seconds that one connection may take from connect to close.
    #[arg(long, value_name = "SECS", default_value_t = 10,
          value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) timeout: u64,

    /// Send no HTTP request, only the close_notify.
    #[arg(long)]
    pub(crate) no_request: bool,

    /// Print the result as one JSON object instead of a table.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Show what the cache does for real handshakes, next to rustls's own cache.
///
/// Starts two servers in this process on free loopback ports, one over this program's cache and
/// one over rustls's ServerSessionMemoryCache of the same capacity, both full from the start.
/// The same clients connect to them in turns; then one screen shows handshakes, resumptions,
/// and how much of a handshake the cache is. Nothing has to be set up.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Seconds of handshakes, both caches together, 1 to 600.
    #[arg(long, value_name = "S", default_value = "8", value_parser = demo_seconds)]
    pub(crate) seconds: f64,

    /// Entries of each cache.
    #[arg(long, value_name = "N", default_value_t = DEFAULT_ENTRIES,
          value_parser = clap::value_parser!(u64).range(1..=4_194_304))]
    pub(crate) entries: u64,
}

/// A library that terminates TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TlsBackend {
    Rustls,
    /// If this program was built with it (cargo's feature openssl).
    #[value(name = "openssl")]
    OpenSsl,
}

/// A cache of sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum CacheKind {
    Halfshake,
    /// rustls's `ServerSessionMemoryCache`.
    Rustls,
}

/// A version of TLS that can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum TlsVersion {
    #[value(name = "1.2")]
    Tls12,
    #[value(name = "1.3")]
    Tls13,
}

impl TlsVersion {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tls12 => "1.2",
            Self::Tls13 => "1.3",
        }
    }

    pub(crate) fn rustls(self) -> &'static rustls::SupportedProtocolVersion {
        match self {
            Self::Tls12 => &rustls::version::TLS12,
            Self::Tls13 => &rustls::version::TLS13,
        }
    }
}

fn listen_address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "write it as ADDRESS:PORT, for example 127.0.0.1:8443".into())
}

fn demo_seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (1.0..=600.0).contains(&seconds) => Ok(seconds),
        _ => Err("write a number of seconds from 1 to 600".into()),
    }
}

fn host_and_port(text: &str) -> Result<String, String> {
    match text.rsplit_once(':') {
        Some((host, port))
            if !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0) =>
        {
            Ok(text.into())
        }
        _ => Err("write it as HOST:PORT, for example 127.0.0.1:8080".into()),
    }
}

/// What clap says over several lines, without its usage, as one.
pub(crate) fn one_line(error: &clap::Error) -> String {
    if error.kind() == clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return "halfshake: no command is given: use serve, load or demo; see halfshake --help"
            .into();
    }
    let text = error.to_string();
    let said: Vec<&str> = text
        .lines()
        .map(str::trim)
        .take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more information"))
        .filter(|line| !line.is_empty())
        .collect();
    let said = said.join(" ");
    let said = said.strip_prefix("error: ").unwrap_or(&said);
    format!("halfshake: {said}; see halfshake --help")
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};

    use super::{Cli, one_line};

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_mistake_is_told_in_one_line() {
        let mistakes: [&[&str]; 7] = [
            &["halfshake"],
            &["halfshake", "serve", "--listen", "nowhere"],
            &["halfshake", "serve", "--cert", "a.pem"],
            &["halfshake", "serve", "--cache-entries", "0"],
            &["halfshake", "load"],
            &["halfshake", "load", "--connect", "127.0.0.1:1", "--tls", "1.1"],
            &["halfshake", "lod"],
        ];
        for mistake in mistakes {
            let error = Cli::try_parse_from(mistake).expect_err("a mistake");
            let line = one_line(&error);
            assert!(!line.contains('\n') && line.len() > 40, "{line:?}");
            assert!(line.starts_with("halfshake: ") && line.ends_with("--help"), "{line:?}");
        }
    }
}
