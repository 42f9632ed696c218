//! A backend that breaks off its answer: what the operator is told who asks why.
//!
//! Kept for answers that stream alone, and looked at only when one breaks. The snapshot is not held on to, since streams
//! may last for hours: where it is gone, the decision names no operation.

use std::rc::{Rc, Weak};
use std::time::Instant;

use base::code;
use http::header::HeaderValue;
use policy::{Passed, Reject, RequestCx};
use snapshot::Found;

use crate::decisions::{self, Matched, Refused};
use crate::request::host_key;
use crate::spans::Try;
use crate::upstream::BackendBodyFault;
use crate::worker::{Current, Worker};

/// What is known of a call whose answer is on its way.
pub(crate) struct About {
    pub(crate) cx: RequestCx,
    pub(crate) host: HeaderValue,
    pub(crate) snapshot: Weak<Current>,
    /// How far the policies came.
    pub(crate) passed: Option<Passed>,
    pub(crate) begun: Instant,
    pub(crate) status: u16,
    pub(crate) tries: Vec<Try>,
}

impl About {
    /// Writes down that the answer broke off.
    pub(crate) fn broke(self, worker: &Rc<Worker>, fault: &BackendBodyFault) {
        let current = self.snapshot.upgrade();
        let snapshot = current.as_ref().and_then(|current| current.get());
        let host = host_key(&self.host);
        let found = snapshot.map(|found| found.find(&host, &self.cx.path, &self.cx.method));
        let mut matched = Matched::default();
        if let Some(Found::Operation { api, operation, .. }) = found {
            matched = Matched::operation(api, operation);
            let caller = self.cx.principal.as_ref();
            let environment = caller.map(|caller| caller.environment);
            matched.backend = operation.backend_for(environment.unwrap_or_default());
            if let Some(passed) = self.passed {
                matched.ran(&operation.chain, passed, false);
            }
        }
        let reject = Reject::new(
            code::BACKEND_FAILED,
            "the backend broke off its answer: the client got the head and a part of the body",
        )
        .because("answer-whole")
        .fact("answer", fault.to_string(), "whole");
        decisions::note(
            worker,
            &Refused {
                cx: &self.cx,
                host: &self.host,
                begun: self.begun,
                matched,
                reject: &reject,
                status: self.status,
                tries: &self.tries,
            },
        );
    }
}
