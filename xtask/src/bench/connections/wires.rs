//! Clients of all kinds that make one small call, which the gateway answers itself, and then stay.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::super::certificate::Certificate;

/// What is spoken.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Wire {
    /// HTTP/1.1 in clear text.
    Http1,
    /// HTTP/1.1 over TLS.
    Https1,
    /// HTTP/2 in clear text.
    H2c,
    /// HTTP/2 over TLS.
    H2,
}

impl Wire {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Http1 => "HTTP/1.1 in clear text",
            Self::Https1 => "HTTP/1.1 over TLS",
            Self::H2c => "HTTP/2 in clear text",
            Self::H2 => "HTTP/2 over TLS",
        }
    }

    pub(super) fn is_tls(self) -> bool {
        matches!(self, Self::Https1 | Self::H2)
    }

    fn is_h2(self) -> bool {
        matches!(self, Self::H2c | Self::H2)
    }

    /// Whoever opens connections to this address.
    pub(super) fn client(
        self,
        address: SocketAddr,
        certificate: &Certificate,
    ) -> anyhow::Result<Client> {
        let tls = match self.is_tls() {
            true => Some(Arc::new(trusting(certificate, self.is_h2())?)),
            false => None,
        };
        Ok(Client {
            address,
            tls,
            h2: self.is_h2(),
        })
    }
}

fn trusting(certificate: &Certificate, h2: bool) -> anyhow::Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for shown in CertificateDer::pem_file_iter(certificate.chain())? {
        roots.add(shown?)?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![if h2 {
        b"h2".to_vec()
    } else {
        b"http/1.1".to_vec()
    }];
    Ok(config)
}

/// Opens connections.
pub(super) struct Client {
    address: SocketAddr,
    tls: Option<Arc<ClientConfig>>,
    h2: bool,
}

trait ReadWrite: Read + Write {}
impl<T: Read + Write> ReadWrite for T {}

/// A connection that is open.
pub(super) struct Idle {
    stream: Box<dyn ReadWrite>,
    /// The next stream of an HTTP/2 connection.
    next: Option<u32>,
}

impl Client {
    /// Opens a connection and makes one call.
    pub(super) fn used_once(&self) -> anyhow::Result<Idle> {
        let tcp = TcpStream::connect(self.address)
            .context("opening a connection; `ulimit -n` has to allow for all of them")?;
        let stream: Box<dyn ReadWrite> = match &self.tls {
            None => Box::new(tcp),
            Some(config) => {
                let name = ServerName::try_from("localhost")?;
                let tls = ClientConnection::new(Arc::clone(config), name)?;
                Box::new(StreamOwned::new(tls, tcp))
            }
        };
        let mut idle = Idle {
            stream,
            next: self.h2.then_some(1),
        };
        if self.h2 {
            // RFC 9113 §3.4: the preface and our SETTINGS.
            idle.stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")?;
            idle.stream.write_all(&frame(SETTINGS, 0, 0, &[]))?;
        }
        idle.call()?;
        Ok(idle)
    }
}

/// Types and flags of frames (RFC 9113 §6).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).expect("our frames are short");
    let mut bytes = vec![0, 0, length, kind, flags];
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

impl Idle {
    /// A call that is answered with 404.
    pub(super) fn call(&mut self) -> anyhow::Result<()> {
        match self.next {
            None => self.call_h1(),
            Some(stream) => {
                self.next = Some(stream + 2);
                self.call_h2(stream)
            }
        }
    }

    fn call_h1(&mut self) -> anyhow::Result<()> {
        let request = b"GET /nothing HTTP/1.1\r\nhost: localhost\r\n\r\n";
        self.stream.write_all(request)?;
        let mut answer = Vec::new();
        let mut bytes = [0; 4096];
        // The answer is a JSON object without another one in it.
        while !answer.ends_with(b"}") {
            let length = self.stream.read(&mut bytes)?;
            ensure!(length > 0, "the connection was closed");
            answer.extend_from_slice(&bytes[..length]);
        }
        ensure!(answer.starts_with(b"HTTP/1.1 404 "), "another answer");
        Ok(())
    }

    fn call_h2(&mut self, stream: u32) -> anyhow::Result<()> {
        // RFC 7541: `:method GET` and `:scheme http` of the static table, `:path` and `:authority` as literals.
        let fields = b"\x82\x86\x04\x08/nothing\x01\x09localhost";
        let head = frame(HEADERS, END_STREAM | END_HEADERS, stream, fields);
        self.stream.write_all(&head)?;
        loop {
            let mut head = [0; 9];
            self.stream.read_exact(&mut head)?;
            let [a, b, c, kind, flags, id @ ..] = head;
            let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
            self.stream.read_exact(&mut payload)?;
            match kind {
                SETTINGS if flags & ACK == 0 => {
                    self.stream.write_all(&frame(SETTINGS, ACK, 0, &[]))?;
                }
                HEADERS | DATA if u32::from_be_bytes(id) == stream && flags & END_STREAM > 0 => {
                    return Ok(());
                }
                GOAWAY => bail!("the gateway told the connection to go"),
                _ => {}
            }
        }
    }
}
