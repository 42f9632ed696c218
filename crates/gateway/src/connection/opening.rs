//! What comes before HTTP: the header of the PROXY protocol, TLS, and which version of HTTP is spoken.

use std::io;
use std::sync::Arc;

use policy::ClientCertificate;
use rustls::ServerConfig;
use rustls_pki_types::CertificateDer;
use tokio::net::TcpStream;

use super::{Connection, ServeError, Shown};
use crate::io::Stream;
use crate::metrics::Limit;
use crate::seats::{Full, Seat};
use crate::worker::{Entrance, Worker};
use crate::{proxy_header, timers};

/// How every HTTP/2 connection begins (RFC 9113 §3.4); no HTTP/1 method begins like it.
const PREFACE_BEGIN: &[u8] = b"PRI ";

/// The stream that HTTP runs on, and whether that is HTTP/2.
pub(super) async fn open(
    worker: &Worker,
    connection: &Connection,
    entrance: &Entrance,
    mut seat: Seat,
    mut tcp: TcpStream,
) -> Result<(Stream, bool, Seat), ServeError> {
    // Who the socket is of counts, whoever it speaks for.
    let forwarding = entrance.forwarding.as_ref();
    if let Some(forwarding) = forwarding.filter(|of| of.trusts(connection.client().ip)) {
        let shown = Shown::Requests(Arc::clone(forwarding));
        // Set once: a connection is opened once.
        let _ = connection.certificate.set(shown);
        connection.takes_certificates.set(true);
    }
    if entrance.is_proxied() {
        let peer = connection.client().ip;
        if !entrance
            .proxies
            .iter()
            .any(|network| network.contains(&peer))
        {
            worker.numbers().limit(Limit::ProxyHeader);
            return Err(ServeError::NoProxy);
        }
        let bytes_max = worker.config.limits.proxy_header_bytes_max;
        let named = proxy_header::take(&mut tcp, bytes_max)
            .await
            .map_err(|fault| {
                worker.numbers().limit(Limit::ProxyHeader);
                ServeError::Proxy(fault)
            })?;
        if let Some(ip) = named {
            connection.is_from(ip);
        }
        let held = seat.belongs_to(connection.client().ip);
        held.map_err(|full| refused(worker, full))?;
    }
    let Some(config) = &entrance.tls else {
        let first = begins_with_preface(&tcp).await;
        let is_h2 = first.map_err(ServeError::Socket)?;
        seat.opened();
        return Ok((Stream::Tcp(tcp), is_h2, seat));
    };
    if config.clients.is_some() {
        connection.takes_certificates.set(true);
    }
    let tls = handshake(worker, &config.config(), tcp).await?;
    let session = tls.get_ref().1;
    if let Some(certificate) = session.peer_certificates().and_then(certificate) {
        // Of a proxy it is set already, and what that one has shown is not its clients'.
        let _ = connection.certificate.set(Shown::Handshake(certificate));
    }
    let is_h2 = session.alpn_protocol() == Some(b"h2");
    seat.opened();
    Ok((Stream::ServerTls(Box::new(tls)), is_h2, seat))
}

/// What a client has shown in the handshake; after a resumption, in the one before.
fn certificate(chain: &[CertificateDer<'_>]) -> Option<Arc<ClientCertificate>> {
    let chain = chain.iter().map(|der| der.as_ref().into()).collect();
    ClientCertificate::new(chain, false).map(Arc::new)
}

async fn handshake(
    worker: &Worker,
    config: &Arc<ServerConfig>,
    tcp: TcpStream,
) -> Result<tokio_rustls::server::TlsStream<TcpStream>, ServeError> {
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::clone(config));
    acceptor.accept(tcp).await.map_err(|error| {
        worker.numbers().handshakes_failed.add(1);
        ServeError::Tls(error)
    })
}

fn refused(worker: &Worker, full: Full) -> ServeError {
    let numbers = &worker.shared.numbers;
    match full {
        Full::Client => numbers.client_connections_refused.add_shared(),
        Full::Openings => numbers.openings_refused.add_shared(),
    }
    ServeError::Full
}

/// Looks at the first bytes without taking them.
async fn begins_with_preface(tcp: &TcpStream) -> io::Result<bool> {
    let mut first = [0; PREFACE_BEGIN.len()];
    loop {
        let length = tcp.peek(&mut first).await?;
        if length == 0 || first[..length] != PREFACE_BEGIN[..length] {
            return Ok(false);
        }
        if length == first.len() {
            return Ok(true);
        }
        // Rare: less than four bytes came. Readiness does not change before they are taken, so look again later.
        tokio::time::sleep(std::time::Duration::from_millis(timers::TICK_MS)).await;
    }
}
