//! The words that every other crate uses: ids, the clock, secrets, diagnostics, error codes and problems.
//!
//! Knows nothing of tokio, HTTP libraries, documents or stores.
//! Start reading at [`Diagnostic`] (what is wrong with a text) and [`Problem`] (what is wrong with a call).

pub mod clock;
pub mod code;
pub mod diagnostic;
pub mod digest;
pub mod environment;
pub mod id;
pub mod key_limits;
pub mod key_mark;
pub mod key_text;
pub mod problem;
pub mod secret;
pub mod tokens_of;

pub use clock::{Clock, ManualClock, SystemClock};
pub use code::{Code, Origin};
pub use diagnostic::{Diagnostic, Diagnostics, Severity};
pub use digest::Digest;
pub use environment::Environment;
pub use id::{
    ApplicationId, CredentialId, GrantId, Org, RegistrationTokenId, SecretId, SessionId,
    SubscriptionId, UserId,
};
pub use key_limits::{AllowedOperation, KeyLimits};
pub use key_mark::KeyMark;
pub use problem::{FieldError, Problem};
pub use secret::Secret;
pub use tokens_of::{NoTokensOf, TokenMarks, TokensOf};
