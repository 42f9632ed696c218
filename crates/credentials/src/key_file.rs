//! The key file: 32 random bytes beside the database, from which every other key of the platform derives.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use aws_lc_rs::hkdf;
use base::Secret;

const BYTES: usize = 32;
const NONCE_BYTES: usize = 12;
/// The first byte of what is sealed; another way of sealing gets another number.
const SEAL_VERSION: u8 = 1;

/// The keys that a key file stands for. Without the file, sealed signing keys cannot be opened and no client secret or
/// API key matches any more: it belongs in the backup, apart from the database's.
///
/// Each purpose has a key of its own (HKDF-SHA-256, RFC 5869), so that none tells anything about another.
#[derive(Clone, Debug)]
pub struct KeyFile {
    seal: Secret<[u8; 32]>,
    client_secret_hash: Secret<[u8; 32]>,
    api_key_hash: Secret<[u8; 32]>,
    proof_nonce: Secret<[u8; 32]>,
    pairwise_subject: Secret<[u8; 32]>,
}

/// Why there is no key file.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// It exists and cannot be read.
    #[error("the key file {} cannot be read", .path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It does not exist and cannot be made.
    #[error("the key file {} cannot be created", .path.display())]
    Create {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Others than its owner may read or write it.
    #[error(
        "the key file {} has mode {mode:04o}: others than its owner can use it; if nobody has, run `chmod 600` on it",
        .path.display()
    )]
    Exposed {
        /// Which file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It is not 32 bytes long.
    #[error(
        "the key file {} is {bytes} bytes long instead of 32; restore it from a backup, or, if the platform never \
         started with it, delete it",
        .path.display()
    )]
    Length {
        /// Which file.
        path: PathBuf,
        /// Its length, counted up to 33.
        bytes: usize,
    },
    /// The system gives no randomness, or a key could not be derived.
    #[error("the crypto library failed")]
    Crypto,
}

/// Why something could not be sealed or opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SealError {
    /// The crypto library refused.
    #[error("sealing failed")]
    Seal,
    /// It was sealed under another key file or for another context, or it was changed.
    #[error(
        "it was sealed under another key file or was changed; restore the key file that belongs to the database"
    )]
    Open,
}

impl KeyFile {
    /// Opens the key file, or creates it with mode 0600 where there is none.
    ///
    /// # Errors
    /// [`KeyFileError`]; a file that others than its owner can use is refused.
    pub fn open_or_create(path: &Path) -> Result<Self, KeyFileError> {
        let root = match File::open(path) {
            Ok(file) => read(path, file)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => create(path)?,
            Err(source) => {
                return Err(KeyFileError::Read {
                    path: path.to_owned(),
                    source,
                });
            }
        };
        Self::from_root(&root)
    }

    /// The keys that these 32 bytes stand for.
    ///
    /// # Errors
    /// [`KeyFileError::Crypto`].
    pub fn from_root(root: &Secret<[u8; BYTES]>) -> Result<Self, KeyFileError> {
        let derive = |purpose: &str| -> Result<Secret<[u8; 32]>, KeyFileError> {
            let mut key = [0; 32];
            hkdf::Salt::new(hkdf::HKDF_SHA256, b"tollway key file v1")
                .extract(root.expose())
                .expand(&[purpose.as_bytes()], hkdf::HKDF_SHA256)
                .and_then(|okm| okm.fill(&mut key))
                .map_err(|_| KeyFileError::Crypto)?;
            Ok(Secret::new(key))
        };
        Ok(Self {
            seal: derive("seal")?,
            client_secret_hash: derive("client-secret-hash")?,
            api_key_hash: derive("api-key-hash")?,
            proof_nonce: derive("dpop-nonce")?,
            pairwise_subject: derive("pairwise-subject")?,
        })
    }

    pub(crate) fn proof_nonce(&self) -> &Secret<[u8; 32]> {
        &self.proof_nonce
    }

    /// The key under which users get pairwise names.
    pub(crate) fn pairwise_subject(&self) -> &Secret<[u8; 32]> {
        &self.pairwise_subject
    }

    /// Encrypts (AES-256-GCM, random nonce) for one `context`, without which it cannot be opened again: what was sealed
    /// for one row does not open in another.
    ///
    /// # Errors
    /// [`SealError::Seal`].
    pub fn seal(&self, context: &str, plain: &Secret<Vec<u8>>) -> Result<Vec<u8>, SealError> {
        let mut text = plain.expose().clone();
        let nonce = self
            .sealing_key()
            .and_then(|key| {
                key.seal_in_place_append_tag(Aad::from(context.as_bytes()), &mut text)
                    .ok()
            })
            .ok_or(SealError::Seal)?;
        let mut sealed = vec![SEAL_VERSION];
        sealed.extend_from_slice(nonce.as_ref());
        sealed.extend_from_slice(&text);
        Ok(sealed)
    }

    /// Opens what [`KeyFile::seal`] sealed for the same context.
    ///
    /// # Errors
    /// [`SealError::Open`].
    pub fn unseal(&self, context: &str, sealed: &[u8]) -> Result<Secret<Vec<u8>>, SealError> {
        let rest = sealed
            .strip_prefix(&[SEAL_VERSION])
            .ok_or(SealError::Open)?;
        let (nonce, text) = rest.split_at_checked(NONCE_BYTES).ok_or(SealError::Open)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SealError::Open)?;
        let mut plain = text.to_vec();
        let length = self
            .sealing_key()
            .and_then(|key| {
                key.open_in_place(nonce, Aad::from(context.as_bytes()), &mut plain)
                    .map(|opened| opened.len())
                    .ok()
            })
            .ok_or(SealError::Open)?;
        plain.truncate(length);
        Ok(Secret::new(plain))
    }

    /// The key under which client secrets are hashed.
    pub(crate) fn client_secret_hash(&self) -> &Secret<[u8; 32]> {
        &self.client_secret_hash
    }

    /// The key under which API keys are hashed.
    pub(crate) fn api_key_hash(&self) -> &Secret<[u8; 32]> {
        &self.api_key_hash
    }

    fn sealing_key(&self) -> Option<RandomizedNonceKey> {
        RandomizedNonceKey::new(&AES_256_GCM, self.seal.expose()).ok()
    }
}

fn read(path: &Path, file: File) -> Result<Secret<[u8; BYTES]>, KeyFileError> {
    let failed = |source| KeyFileError::Read {
        path: path.to_owned(),
        source,
    };
    // Of the open file, not of the path: nobody can put another file there in between.
    let mode = file.metadata().map_err(failed)?.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(KeyFileError::Exposed {
            path: path.to_owned(),
            mode,
        });
    }
    let mut content = Vec::with_capacity(BYTES + 1);
    file.take(BYTES as u64 + 1)
        .read_to_end(&mut content)
        .map_err(failed)?;
    let content = Secret::new(content);
    let root = content.expose().as_slice().try_into();
    root.map(Secret::new).map_err(|_| KeyFileError::Length {
        path: path.to_owned(),
        bytes: content.expose().len(),
    })
}

fn create(path: &Path) -> Result<Secret<[u8; BYTES]>, KeyFileError> {
    let mut root = [0; BYTES];
    aws_lc_rs::rand::fill(&mut root).map_err(|_| KeyFileError::Crypto)?;
    let root = Secret::new(root);
    let write = || -> io::Result<()> {
        // `create_new`: of two first starts at once, one fails instead of leaving the other with a lost key.
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)?;
        file.write_all(root.expose())?;
        file.sync_all()?;
        // The name must be as durable as the rows that are going to be sealed under the key.
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
    };
    write().map_err(|source| KeyFileError::Create {
        path: path.to_owned(),
        source,
    })?;
    Ok(root)
}

#[cfg(test)]
mod tests;
