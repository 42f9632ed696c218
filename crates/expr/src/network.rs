//! `inNetwork(address, 'network')`: whether an IP address is of a network.

use std::net::IpAddr;
use std::sync::Arc;

use cel::ExecutionError;
use ipnet::IpNet;

/// The function's name.
pub(crate) const NAME: &str = "inNetwork";
/// What is told of one that is used wrongly.
pub(crate) const USE: &str = "`inNetwork` takes an address and a network, written out, as in `inNetwork(client.ip, '10.0.0.0/8')`";

/// A network in CIDR notation, or a single address.
pub(crate) fn read(text: &str) -> Option<IpNet> {
    let network = text.parse::<IpNet>().ok();
    network.or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

/// An IPv4 address counts as such, also where it is written as an IPv6 one. What is no address has no answer.
#[expect(
    clippy::needless_pass_by_value,
    reason = "functions of the language get their arguments so"
)]
pub(crate) fn holds(address: Arc<String>, network: Arc<String>) -> Result<bool, ExecutionError> {
    let address = address.parse::<IpAddr>().ok();
    match (address, read(&network)) {
        (Some(address), Some(network)) => Ok(network.contains(&address.to_canonical())),
        _ => Err(ExecutionError::function_error(NAME, "it is no IP address")),
    }
}
