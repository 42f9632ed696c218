//! What is recorded of a call that is traced: one span of its own, one for each policy that waited, one for each try to
//! reach the backend.
//!
//! A call is handed over once, when it has ended, and never waited for: a full queue drops it.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use http::{HeaderMap, Version};
use policy::{RequestCx, Wait, Waits};

use crate::decisions::Matched;
use crate::trace::{self, Arrival};

pub use crate::upstream::tries::{Try, Via};

/// Takes traced calls; bounded.
pub type Sink = tokio::sync::mpsc::Sender<Box<Call>>;

/// A traced call that has ended.
#[derive(Debug)]
pub struct Call {
    /// The trace.
    pub trace_id: [u8; 16],
    /// The call's own span.
    pub span_id: [u8; 8],
    /// The client's span.
    pub parent: Option<[u8; 8]>,
    /// The client's `tracestate`; empty without one.
    pub trace_state: String,
    /// When the call began.
    pub begun: SystemTime,
    /// The same moment, to which those of policies and tries belong.
    pub begun_at: Instant,
    /// When the answer's last byte was handed on, or the client went away.
    pub ended_at: Instant,
    /// The method.
    pub method: String,
    /// Over TLS or not.
    pub tls: bool,
    /// The host that the client named.
    pub host: String,
    /// The canonical path.
    pub path: String,
    /// `1.1`, `2`
    pub protocol: &'static str,
    /// The client's address.
    pub client_ip: std::net::IpAddr,
    /// What the call was matched to.
    pub target: Option<Target>,
    /// The application, as far as it is known.
    pub application: Option<base::ApplicationId>,
    /// The plan, as far as it is known.
    pub plan: Option<Arc<policy::Plan>>,
    /// The answer's status; 0 when the client went away before.
    pub status: u16,
    /// The code, where the gateway refused.
    pub code: Option<&'static str>,
    /// How the answer's body ended.
    pub ended: Ended,
    /// Policies that waited.
    pub waits: Vec<Wait>,
    /// Tries to reach the backend.
    pub tries: Vec<Try>,
}

/// What a call was matched to.
#[derive(Debug)]
pub struct Target {
    /// The API's document name.
    pub api: String,
    /// Its version.
    pub version: String,
    /// The mount and the operation's template; `None` where no operation matched.
    pub route: Option<String>,
    /// The operation's name.
    pub operation: Option<Arc<str>>,
}

/// How an answer's body ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ended {
    /// Complete.
    Whole,
    /// The client went away.
    Abandoned,
    /// The backend broke it off.
    Broken,
}

/// What of a traced call is known before its policies run.
pub(crate) struct Opening {
    begun: SystemTime,
    host: String,
    trace_state: String,
    protocol: &'static str,
}

impl Opening {
    /// Notes what is gone later; `None` for a call that is not recorded.
    pub(crate) fn of(
        arrival: &Arrival,
        headers: &HeaderMap,
        version: Version,
        host: &http::HeaderValue,
    ) -> Option<Box<Self>> {
        arrival.recorded.then(|| {
            Box::new(Self {
                begun: SystemTime::now(),
                host: String::from_utf8_lossy(host.as_bytes()).into_owned(),
                trace_state: trace::state_text(headers),
                protocol: if version == Version::HTTP_2 {
                    "2"
                } else {
                    "1.1"
                },
            })
        })
    }

    /// The call, as it is when the answer's head is known.
    pub(crate) fn call(
        self,
        cx: &mut RequestCx,
        arrival: &Arrival,
        begun_at: Instant,
        matched: &Matched<'_>,
        tries: Vec<Try>,
    ) -> Box<Call> {
        let waits = cx.slots.get_mut::<Waits>().map(Waits::take);
        let subscribed = cx
            .subscription
            .as_ref()
            .and_then(|found| found.plan.clone());
        Box::new(Call {
            trace_id: cx.trace.trace_id,
            span_id: cx.trace.span_id,
            parent: arrival.parent,
            trace_state: self.trace_state,
            begun: self.begun,
            begun_at,
            ended_at: begun_at,
            method: cx.method.to_string(),
            tls: cx.client.tls,
            host: self.host,
            path: cx.path.clone(),
            protocol: self.protocol,
            client_ip: cx.client.ip,
            target: matched.api.map(|api| Target {
                api: api.name.clone(),
                version: api.version.clone(),
                route: matched
                    .operation
                    .map(|operation| format!("{}{}", &cx.path[..cx.rest_at], operation.template)),
                operation: matched
                    .operation
                    .map(|operation| Arc::clone(&operation.label)),
            }),
            application: cx
                .principal
                .as_ref()
                .and_then(|principal| principal.application),
            plan: subscribed,
            status: 0,
            code: None,
            ended: Ended::Whole,
            waits: waits.unwrap_or_default(),
            tries,
        })
    }
}

impl Call {
    /// What went wrong, in one word (`error.type` of OpenTelemetry); `None` when nothing did that is the server's fault.
    #[must_use]
    pub fn error(&self) -> Option<Cow<'static, str>> {
        if self.ended == Ended::Broken {
            return Some("backend_body_broken".into());
        }
        match (self.code, self.status) {
            (Some(code), _) => Some(code.into()),
            (None, status @ 500..) => Some(status.to_string().into()),
            (None, _) => None,
        }
    }
}
