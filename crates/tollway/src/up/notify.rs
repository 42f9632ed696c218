//! Tells a service manager how the platform is: the protocol of systemd's `Type=notify` (sd_notify(3)).

use std::os::unix::net::UnixDatagram;

/// Sends a state, where a service manager wants to hear of it.
pub(super) fn tell(state: &str) {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else {
        return;
    };
    let sent = UnixDatagram::unbound().and_then(|socket| {
        let text = path.to_string_lossy();
        match text.strip_prefix('@') {
            None => socket.send_to(state.as_bytes(), &path),
            Some(name) => {
                use std::os::linux::net::SocketAddrExt;
                let address = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
                socket.send_to_addr(state.as_bytes(), &address)
            }
        }
    });
    if let Err(error) = sent {
        tracing::warn!(%error, "the service manager cannot be told");
    }
}
