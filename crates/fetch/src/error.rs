//! Why a URL was not fetched.

/// Why a URL was not fetched. The texts hold neither the URL nor anything of what answered there.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FetchError {
    /// No URL that is fetched.
    #[error(
        "only absolute URLs with `http` or `https`, a host, and no user or password are fetched"
    )]
    Url,
    /// The host leads into private, loopback, link-local, metadata or another space that is not for strangers' URLs.
    #[error("address blocked")]
    Blocked,
    /// A redirect from `https` to `http`.
    #[error("a redirect leads from https to http")]
    Downgrade,
    /// A redirect to another origin, where only one is allowed.
    #[error("it leads to another origin")]
    Origin,
    /// Too many redirects.
    #[error("more than {0} redirects")]
    Redirects(usize),
    /// The host's name has no address.
    #[error("the host's name cannot be resolved")]
    Unresolved,
    /// No connection, no TLS, or it broke off.
    #[error("no answer could be read")]
    Unreachable,
    /// It took too long.
    #[error("no whole answer within {0} ms")]
    Timeout(u64),
    /// An answer other than 200.
    #[error("the answer is {0}")]
    Status(u16),
    /// The answer is too long.
    #[error("the answer has more than {0} bytes")]
    TooLarge(usize),
}

impl FetchError {
    /// One word for the reason, for metrics.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Url => "url",
            Self::Blocked => "blocked",
            Self::Downgrade => "downgrade",
            Self::Origin => "origin",
            Self::Redirects(_) => "redirects",
            Self::Unresolved => "unresolved",
            Self::Unreachable => "unreachable",
            Self::Timeout(_) => "timeout",
            Self::Status(_) => "status",
            Self::TooLarge(_) => "too-large",
        }
    }
}
