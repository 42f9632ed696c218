//! An API's model as it is kept and handed on: as text, made small.

use std::io::{Read, Write};

use base::Digest;
use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::ApiModel;

/// An [`ApiModel`], packed. A control plane has thousands and needs one when a node asks for it; a node needs one when it
/// builds it. As structs they take ten times the memory. Whether a model is the one that is there already, its digest
/// tells without opening it.
///
/// Its serialized form is that of the model.
#[derive(Clone, PartialEq, Eq)]
pub struct PackedApi {
    digest: Digest,
    /// JSON, deflated.
    packed: Box<[u8]>,
}

impl PackedApi {
    /// Packs a model.
    #[must_use]
    pub fn of(model: &ApiModel) -> Self {
        let text = serde_json::to_vec(model).expect("models have string keys only");
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
        let packed = encoder.write_all(&text).and_then(|()| encoder.finish());
        Self {
            digest: model.digest,
            packed: packed.expect("memory can be written to").into(),
        }
    }

    /// The model's digest: an equal digest is an equal model.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// The model, made anew.
    #[must_use]
    pub fn open(&self) -> ApiModel {
        let mut text = Vec::new();
        DeflateDecoder::new(&*self.packed)
            .read_to_end(&mut text)
            .expect("what was packed can be opened");
        serde_json::from_slice(&text).expect("what was written can be read")
    }
}

impl Serialize for PackedApi {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.open().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for PackedApi {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        ApiModel::deserialize(deserializer).map(|model| Self::of(&model))
    }
}

/// Without what is packed.
impl std::fmt::Debug for PackedApi {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "PackedApi({:?}, {} bytes)",
            self.digest,
            self.packed.len()
        )
    }
}

#[cfg(test)]
mod tests;
