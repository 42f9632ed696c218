//! How long policies of a traced call had to wait: each becomes a span.

use std::borrow::Cow;
use std::time::Instant;

/// What the policies of one call waited for. The gateway puts an empty one into a slot of the calls that it traces;
/// where there is none, nothing is noted.
#[derive(Debug, Default)]
pub struct Waits(Vec<Wait>);

/// One policy that did not decide at once.
#[derive(Clone, Debug)]
pub struct Wait {
    /// Its name in documents.
    pub policy: Cow<'static, str>,
    /// When it began to wait.
    pub begun: Instant,
    /// When it had decided.
    pub ended: Instant,
}

impl Waits {
    /// A policy has decided now.
    pub(crate) fn add(&mut self, policy: Cow<'static, str>, begun: Instant) {
        let ended = Instant::now();
        self.0.push(Wait {
            policy,
            begun,
            ended,
        });
    }

    /// Takes what was noted.
    pub fn take(&mut self) -> Vec<Wait> {
        std::mem::take(&mut self.0)
    }
}
