//! Policies: one step of the request path each, compiled from a document and immutable while it serves.
//!
//! A policy is shared by all cores and many requests; what it remembers within a request lives in the
//! [`Slots`] of the context, what must outlive a configuration change lives in the [`Runtime`].
//!
//! Knows nothing of sockets, documents, or which policies exist. Start at [`Policy`], then [`Chain`].

mod attributes;
pub mod backend_auth;
pub mod backend_tokens;
pub mod chain;
pub mod context;
pub mod denial;
pub mod directory;
pub mod kind;
pub mod limit;
mod outside;
pub mod passwords;
pub mod reject;
mod remembered;
pub mod secrets;
pub mod services;
pub mod stamp;
pub mod waits;

use std::future::Future;
use std::pin::Pin;

pub use backend_auth::{BackendAuth, BackendAuthCounts};
pub use backend_tokens::{
    BackendToken, BackendTokens, NoBackendTokens, NoToken, TokenClient, TokenProof, TokenRequest,
};
pub use chain::{Access, Chain, Passed, Permit, Step, Stop};
pub use context::{
    Caller, Client, ClientCertificate, Core, Identity, Nobody, Principal, RequestCx, ResponseCx,
    Runtime, Slots, TokenInUse, Trace,
};
pub use denial::{Denials, DenyRule};
pub use directory::{
    ApiKeyView, ApplicationView, Asking, ClientView, Directory, Issuer, LimitedKey, NobodyKnown,
    NotAnswered, Once, Plan, SubscriptionView, Window,
};
pub use kind::{ApiTold, CompileEnv, ErasedPolicyKind, Phase, PolicyKind};
pub use limit::{Ask, AskedBy, Asks, Measure, Meter, NamedLimit, PlanWindow};
pub use outside::{Introspected, Outside};
pub use passwords::{Guessed, NoPasswords, PasswordGuess, Passwords};
pub use reject::{Fact, Instead, Reason, Reject, Response};
pub use remembered::{Forgotten, Memory, Remembered};
pub use secrets::{Secrets, from_files};
pub use services::{Ahead, AuthorizationCounts, Peeked, ServiceAnswer, ServiceCall, Services};
pub use waits::{Wait, Waits};

/// A future that stays on its core.
pub type LocalFuture<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// One step of the request path.
pub trait Policy: Send + Sync {
    /// Runs when the request's head is complete and an operation was matched.
    fn on_request<'a>(&'a self, cx: &'a mut RequestCx) -> Outcome<'a>;

    /// Runs when an answer's head is about to be sent, whoever made the answer (the backend, a policy, the
    /// gateway), for every policy whose `on_request` was entered, in reverse order. That is how a 401 gets its
    /// CORS headers. The request's headers are gone by then: what is needed of them goes into a slot.
    fn on_response(&self, _cx: &mut ResponseCx<'_>) {}

    /// Whether it looks at the beginning of the request's body, by [`Ahead`].
    fn looks_ahead(&self) -> bool {
        false
    }
}

/// What a step gives back: at once, or later. Synchronous policies box nothing.
pub enum Outcome<'a> {
    /// Decided.
    Now(Verdict),
    /// Has to wait for something.
    Later(LocalFuture<'a, Verdict>),
}

impl Outcome<'_> {
    /// The usual answer.
    pub const CONTINUE: Self = Self::Now(Verdict::Continue);
}

impl From<Reject> for Outcome<'_> {
    fn from(reject: Reject) -> Self {
        Self::Now(Verdict::Reject(Box::new(reject)))
    }
}

/// The decision of a step.
#[derive(Debug)]
pub enum Verdict {
    /// Go on.
    Continue,
    /// Answer this instead of calling the backend; it is not an error (a preflight answer).
    Respond(Box<Response>),
    /// Refuse.
    Reject(Box<Reject>),
}
