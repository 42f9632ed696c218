//! The tries of one request to reach its backend: what an operator is told when it fails, and spans of a traced call.
//!
//! A call that is not traced and gets an answer at the first try notes nothing.

use std::borrow::Cow;
use std::time::Instant;

use http::HeaderMap;
use http::uri::Authority;
use policy::Trace;
use snapshot::Endpoint;

use crate::trace::{Arrival, IdSource};

/// One try.
#[derive(Clone, Debug)]
pub struct Try {
    /// Its span; the parent of what the backend does. Zero in a call that is not traced.
    pub span_id: [u8; 8],
    /// Host and port, as in `Host`.
    pub endpoint: Authority,
    /// The host alone.
    pub host: String,
    /// The port.
    pub port: u16,
    /// Over which connection.
    pub via: Via,
    /// When it began.
    pub begun: Instant,
    /// When the head of the answer was there, or it failed.
    pub ended: Instant,
    /// The status, where a head came.
    pub status: Option<u16>,
    /// What went wrong.
    pub error: Option<Cow<'static, str>>,
}

/// The connection of a try.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Via {
    /// There was none yet: it was being made.
    Connecting,
    /// One that was made for it.
    New,
    /// One that stood.
    Reused,
}

impl Via {
    /// The word for it.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::New => "new",
            Self::Reused => "reused",
        }
    }
}

/// An error with what lies below it.
pub(super) fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let below = inner.to_string();
        if !text.contains(&below) {
            text = format!("{text}: {below}");
        }
        source = inner.source();
    }
    text
}

/// Notes the tries of one request.
pub(crate) struct Tries {
    begun: Instant,
    via: Via,
    span_id: [u8; 8],
    traced: Option<(Trace, Arrival)>,
    list: Vec<Try>,
}

impl Tries {
    /// For a request whose first try begins now.
    pub(crate) fn new(begun: Instant, trace: &Trace, arrival: &Arrival) -> Self {
        Self {
            begun,
            via: Via::Connecting,
            span_id: [0; 8],
            traced: arrival.recorded.then_some((*trace, *arrival)),
            list: Vec::new(),
        }
    }

    /// A try begins that has a connection, or waits for one. In a traced call it becomes the parent of what the
    /// backend does.
    pub(super) fn begin(&mut self, via: Via, ids: &IdSource, headers: &mut HeaderMap) {
        self.via = via;
        if let Some((trace, arrival)) = &self.traced {
            self.span_id = ids.next().to_be_bytes();
            arrival.restamp(headers, trace, self.span_id);
        }
    }

    /// The connection that was waited for stands.
    pub(super) fn connected(&mut self, via: Via) {
        self.via = via;
    }

    /// The head of the answer is there.
    pub(super) fn answered(&mut self, endpoint: &Endpoint, status: http::StatusCode) {
        if self.traced.is_some() {
            self.note(endpoint, Some(status.as_u16()), None);
        }
    }

    /// The try ended without an answer.
    pub(super) fn failed(&mut self, endpoint: &Endpoint, error: impl Into<Cow<'static, str>>) {
        self.note(endpoint, None, Some(error.into()));
    }

    fn note(&mut self, endpoint: &Endpoint, status: Option<u16>, error: Option<Cow<'static, str>>) {
        let ended = Instant::now();
        self.list.push(Try {
            span_id: self.span_id,
            endpoint: endpoint.authority.clone(),
            host: endpoint.host.clone(),
            port: endpoint.port,
            via: self.via,
            begun: self.begun,
            ended,
            status,
            error,
        });
        self.begun = ended;
    }

    /// What was noted.
    pub(crate) fn into_list(self) -> Vec<Try> {
        self.list
    }
}
