//! `halfshake serve`: from the arguments to a running server, and from a signal to its end.
//!
//! ```text
//! listener ─ accept ─ connection (handshake) ─┬─ page   no upstream: say how this one began
//!                                             └─ proxy  bytes to and from the upstream
//! ```

mod connection;
pub(crate) mod counters;
mod kept;
mod page;
mod proxy;
pub(crate) mod server;
mod signals;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::admin;
use crate::certs::CertSource;
use crate::cli::ServeArgs;
use crate::endpoint::EndpointSettings;
use crate::external::{External, ExternalSettings};
use crate::output;
use crate::setup_error::SetupError;

use self::kept::Kept;
use self::server::{Server, Service, Stop};
use self::signals::{Asked, Signals};

/// After the grace, connections that are told to end get this long to say so to their peers.
const CLOSE_TIME: Duration = Duration::from_secs(3);

pub(crate) async fn run(args: ServeArgs) -> Result<(), SetupError> {
    kept::check(&args)?;
    let settings = endpoint_settings(&args);
    let external = external_settings(&args).map(External::open).transpose()?;
    let kept = Kept::new(&args, external.as_ref())?;
    let endpoint = kept.endpoint(&settings)?;
    let cache = kept.cache().cloned();
    let listener = bind("--listen", args.listen).await?;
    let admin_listener = match args.admin {
        Some(address) => Some(bind("--admin", address).await?),
        None => None,
    };
    let mut signals = Signals::install()?;

    let service = args.upstream.clone().map_or(Service::Page, Service::Upstream);
    let server = Arc::new(Server::new(endpoint, service, args.max_connections));
    announce(&args, &listener, admin_listener.as_ref(), external.as_deref());

    let mut tasks = Vec::new();
    if let (Some(external), Some(cache)) = (&external, &cache) {
        tasks.push(tokio::spawn(Arc::clone(external).sweep(cache.clone())));
    }
    if let Some(listener) = admin_listener {
        let counters = Arc::clone(server.counters());
        tasks.push(tokio::spawn(admin::serve(listener, counters, cache, external.clone())));
    }
    let stop = Stop::default();
    let accepting = tokio::spawn(Arc::clone(&server).accept(listener, stop.clone()));

    while signals.next().await == Asked::Reload {
        reload(&server, &settings, &kept, external.as_deref());
    }
    drain(&server, &stop, &mut signals, Duration::from_secs(args.grace)).await;
    accepting.abort();
    tasks.iter().for_each(JoinHandle::abort);
    Ok(())
}

fn endpoint_settings(args: &ServeArgs) -> EndpointSettings {
    let certificate = match (&args.cert, &args.key) {
        (Some(cert), Some(key)) => CertSource::Files { cert: cert.clone(), key: key.clone() },
        _ => CertSource::SelfSigned { listen: args.listen.ip() },
    };
    EndpointSettings {
        backend: args.tls_backend,
        certificate,
        client_ca: args.client_ca.clone(),
        oldest: args.tls_min,
        newest: args.tls_max,
        early_data: args.early_data,
    }
}

fn external_settings(args: &ServeArgs) -> Option<ExternalSettings> {
    // Each of the two requires the other.
    let (Some(directory), Some(seal_key)) = (&args.external_dir, &args.seal_key) else {
        return None;
    };
    Some(ExternalSettings {
        directory: directory.clone(),
        seal_key: seal_key.clone(),
        most_files: args.external_entries,
        shared: args.external_shared,
    })
}

pub(crate) async fn bind(
    option: &'static str,
    address: SocketAddr,
) -> Result<TcpListener, SetupError> {
    TcpListener::bind(address).await.map_err(|source| SetupError::Listen {
        option,
        address,
        source,
    })
}

/// The lines on standard output that a person or a script waits for.
fn announce(
    args: &ServeArgs,
    listener: &TcpListener,
    admin_listener: Option<&TcpListener>,
    external: Option<&External>,
) {
    if args.cert.is_none() {
        output::say(format_args!(
            "certificate: self-signed for localhost, made in memory; give --cert and --key for a \
             real one"
        ));
    }
    match &args.upstream {
        Some(upstream) => output::say(format_args!("upstream: {upstream}")),
        None => output::say("upstream: none, answering with a page"),
    }
    if let Some(external) = external {
        let (files, path) = (external.files(), external.settings().directory.display());
        output::say(format_args!("sessions on disk: {files} in {path}"));
    }
    if let Some(address) = admin_listener.and_then(|listener| listener.local_addr().ok()) {
        output::say(format_args!("admin: http://{address}/metrics http://{address}/stats"));
    }
    // Last, so that who has read it knows that everything is there.
    if let Ok(address) = listener.local_addr() {
        output::say(format_args!("listening on {address}"));
    }
}

fn reload(server: &Server, settings: &EndpointSettings, kept: &Kept, external: Option<&External>) {
    match external.map(External::reload_keys) {
        Some(Ok(())) => tracing::info!("SIGHUP: seal keys read again"),
        Some(Err(error)) => tracing::error!("SIGHUP: the old seal keys stay in use: {error}"),
        None => {}
    }
    if !settings.reads_files() {
        if external.is_none() {
            tracing::warn!("SIGHUP: nothing to read again, the certificate was made in memory");
        }
        return;
    }
    match kept.endpoint(settings) {
        Ok(endpoint) => {
            server.replace_endpoint(endpoint);
            server.counters().reloads.done.inc();
            let sessions = if kept.cache().is_some() { "stay" } else { "are forgotten" };
            tracing::info!("SIGHUP: certificate read again; sessions {sessions}");
        }
        Err(error) => {
            server.counters().reloads.failed.inc();
            tracing::error!("SIGHUP: the old certificate stays in use: {error}");
        }
    }
}

/// Stops accepting and waits for connections: first for them to finish, then for them to close.
async fn drain(server: &Server, stop: &Stop, signals: &mut Signals, grace: Duration) {
    stop.drain.cancel();
    server.connections().close();
    tracing::info!(open = server.connections().len(), "draining");
    tokio::select! {
        () = server.connections().wait() => {}
        () = tokio::time::sleep(grace) => {}
        () = signals.stop() => {}
    }
    let late = server.connections().len();
    if late > 0 {
        tracing::warn!(late, "cutting off what has not finished");
        stop.cut.cancel();
        // Whoever does not close in time is dropped with the runtime.
        let _ = tokio::time::timeout(CLOSE_TIME, server.connections().wait()).await;
    }
    tracing::info!("stopped");
}
