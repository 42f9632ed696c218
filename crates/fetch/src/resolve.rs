//! From names to addresses, and the guard that stands between the two and a connection.

use std::error::Error;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use async_trait::async_trait;
use reqwest::dns::{Addrs, Name, Resolving};

use crate::Allow;

/// Looks names up. Asked once for each connection; what it answers is what is checked and connected to.
#[async_trait]
pub trait Resolve: Send + Sync + 'static {
    /// The addresses of a host.
    ///
    /// # Errors
    /// The name cannot be looked up.
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>>;
}

/// The system's resolver.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemResolver;

#[async_trait]
impl Resolve for SystemResolver {
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        let found = tokio::net::lookup_host((host, 0)).await?;
        Ok(found.map(|address| address.ip()).collect())
    }
}

/// What stops a connection before it is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum Stopped {
    #[error("address blocked")]
    Blocked,
    #[error("the name cannot be resolved")]
    Unresolved,
}

/// Gives the connector only addresses that it may connect to. One blocked address among several blocks the host: who
/// answers with both means no good.
pub(crate) struct Guard {
    pub(crate) resolver: Arc<dyn Resolve>,
    pub(crate) allow: Arc<Allow>,
}

impl Guard {
    async fn addresses(
        resolver: &dyn Resolve,
        allow: &Allow,
        host: &str,
    ) -> Result<Vec<IpAddr>, Stopped> {
        let found = resolver.resolve(host).await;
        let addresses = found.map_err(|_| Stopped::Unresolved)?;
        if addresses.is_empty() {
            return Err(Stopped::Unresolved);
        }
        if addresses
            .iter()
            .all(|address| allow.permits(host, *address))
        {
            return Ok(addresses);
        }
        Err(Stopped::Blocked)
    }
}

impl reqwest::dns::Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let (resolver, allow) = (Arc::clone(&self.resolver), Arc::clone(&self.allow));
        Box::pin(async move {
            let found = Self::addresses(resolver.as_ref(), &allow, name.as_str()).await;
            let addresses =
                found.map_err(|stopped| Box::new(stopped) as Box<dyn Error + Send + Sync>)?;
            let addresses = addresses
                .into_iter()
                .map(|address| SocketAddr::new(address, 0));
            Ok(Box::new(addresses) as Addrs)
        })
    }
}
