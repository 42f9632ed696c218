//! What all endpoints share: errors, trace ids, who calls, how bodies and conditions are read.

pub(crate) mod access;
pub(crate) mod caller;
pub(crate) mod error;
pub(crate) mod extract;
pub(crate) mod precondition;
pub(crate) mod trace;

pub(crate) use access::Action;
pub(crate) use caller::Caller;
pub(crate) use error::{ApiError, ApiResult};
pub(crate) use extract::{Json, Name, Names, OptionalJson, Params, Text};
pub(crate) use precondition::Precondition;
