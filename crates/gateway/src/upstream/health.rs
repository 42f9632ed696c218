//! Active checks of endpoints: HTTP, TCP, gRPC. Once for the process.
//!
//! Each check makes a connection of its own: one that stands says nothing of whether another could be made.

mod grpc;
mod http;

use std::sync::Arc;
use std::time::Duration;

use ::http::uri::Authority;
use futures_util::future::join_all;
use rustls_pki_types::ServerName;
use snapshot::{Check, CheckAsk, Protocol, Scheme};
use tokio::net::TcpStream;

use super::members::{Group, Member};
use super::{eyeballs, tls};
use crate::io::Stream;
use crate::worker::Shared;

/// The longest that a check waits before its first round, so that all gateways do not check at the same time.
const FIRST_WAIT_MAX: Duration = Duration::from_secs(1);

/// Checks the endpoints of a backend for ever, where it wants that.
pub(super) fn checks(
    shared: &Arc<Shared>,
    group: &Arc<Group>,
) -> Option<impl Future<Output = ()> + 'static> {
    let check = group.backend.health.check.clone()?;
    let (shared, group) = (Arc::clone(shared), Arc::clone(group));
    Some(async move {
        let every = Duration::from_millis(check.every_ms);
        let known = group.members.load();
        let fresh = known.list.iter().all(|member| member.state.is_unchecked());
        drop(known);
        if !fresh {
            // A backend that was edited: its endpoints were checked a moment ago.
            tokio::time::sleep(every.min(FIRST_WAIT_MAX)).await;
        }
        loop {
            let members = group.members.load_full();
            let all = members.list.iter();
            join_all(all.map(|member| one(&shared, &group, member, &check))).await;
            tokio::time::sleep(every).await;
        }
    })
}

async fn one(shared: &Shared, group: &Group, member: &Member, check: &Check) {
    let limit = Duration::from_millis(check.timeout_ms);
    let asked = tokio::time::timeout(limit, ask(shared, group, member, check)).await;
    let found = asked.unwrap_or_else(|_| Err("no answer in time".to_owned()));
    let clock = &shared.runtime.clock;
    let now = (clock.monotonic_ms(), clock.unix_ms());
    let succeeded = found.is_ok();
    shared.numbers.health_checks[usize::from(!succeeded)].add_shared();
    if member.state.note_check(found, &group.backend.health, now) {
        let note = member.state.note();
        let cause = note.as_ref().map_or("", |note| &note.cause);
        let (backend, endpoint) = (&*group.backend.key.name, &*member.name);
        match succeeded {
            true => tracing::info!(backend, endpoint, "the endpoint is healthy"),
            false => tracing::warn!(backend, endpoint, cause, "the endpoint is unhealthy"),
        }
    }
}

/// One check; why it failed.
async fn ask(shared: &Shared, group: &Group, member: &Member, check: &Check) -> Result<(), String> {
    let addresses = member
        .addresses()
        .await
        .map_err(|error| error.to_string())?;
    let delay = Duration::from_millis(shared.config.upstream.next_address_ms);
    let connected = eyeballs::connect(&addresses, delay).await;
    let tcp = connected.map_err(|error| format!("connecting failed: {error}"))?;
    let authority = &member.endpoint.authority;
    match &check.ask {
        CheckAsk::Tcp => Ok(()),
        CheckAsk::Http {
            target,
            host,
            expect,
        } => {
            let (stream, h2) = secured(shared, group, member, tcp, false).await?;
            let host = match host {
                Some(host) => host.parse().unwrap_or_else(|_| authority.clone()),
                None => authority.clone(),
            };
            let scheme = member.endpoint.scheme;
            let status = http::ask(stream, h2, scheme, &host, target).await?;
            let expected = expect
                .iter()
                .any(|(first, last)| (*first..=*last).contains(&status));
            expected
                .then_some(())
                .ok_or_else(|| format!("answered {status}"))
        }
        CheckAsk::Grpc { service } => {
            let (stream, _) = secured(shared, group, member, tcp, true).await?;
            let scheme = member.endpoint.scheme;
            let authority: &Authority = authority;
            grpc::ask(stream, scheme, authority, service).await
        }
    }
}

/// TLS, where the endpoint speaks it; and whether HTTP/2 is spoken. gRPC speaks nothing else.
async fn secured(
    shared: &Shared,
    group: &Group,
    member: &Member,
    tcp: TcpStream,
    grpc: bool,
) -> Result<(Stream, bool), String> {
    let protocol = group.backend.protocol;
    if member.endpoint.scheme == Scheme::Http {
        return Ok((Stream::Tcp(tcp), protocol == Protocol::Http2));
    }
    let backend = &group.backend;
    let mut config = tls::fresh(shared, backend).map_err(|error| error.to_string())?;
    if grpc {
        config.alpn_protocols = vec![b"h2".to_vec()];
    }
    let name: ServerName<'static> =
        tls::server_name(backend, &member.endpoint).map_err(|error| error.to_string())?;
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let connected = connector.connect(name, tcp).await;
    let stream = connected.map_err(|error| format!("the TLS handshake failed: {error}"))?;
    let h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let h2 = h2 || protocol == Protocol::Http2;
    Ok((Stream::ClientTls(Box::new(stream)), h2))
}
