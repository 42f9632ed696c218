//! One certificate for all that speak TLS: ECDSA P-256, self-signed, gone with the value.

use std::ffi::OsString;
use std::path::PathBuf;

use tempfile::TempDir;

/// See the module.
pub(crate) struct Certificate(TempDir);

impl Certificate {
    /// A new one.
    pub(crate) fn new() -> anyhow::Result<Self> {
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let made = rcgen::generate_simple_self_signed(names)?;
        let this = Self(tempfile::tempdir()?);
        std::fs::write(this.chain(), made.cert.pem())?;
        std::fs::write(this.key(), made.signing_key.serialize_pem())?;
        Ok(this)
    }

    /// The file of the certificate (PEM).
    pub(crate) fn chain(&self) -> PathBuf {
        self.0.path().join("chain.pem")
    }

    /// The file of its key (PEM).
    pub(crate) fn key(&self) -> PathBuf {
        self.0.path().join("key.pem")
    }

    /// What tells `tollway up` of it.
    pub(crate) fn arguments(&self) -> Vec<OsString> {
        vec![
            "--gateway-certificate".into(),
            self.chain().into(),
            "--gateway-key".into(),
            self.key().into(),
        ]
    }
}
