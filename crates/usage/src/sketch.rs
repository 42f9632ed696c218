//! Latencies as DDSketches: quantiles within 1% of the exact value, and mergeable without loss.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sketches_ddsketch::{Config, DDSketch};

/// The first byte of a written sketch.
const VERSION: u8 = 1;

/// Times in whole microseconds. A quantile read from it is within 1% of the exact one, however long
/// the times are.
///
/// Written as a version byte and, where anything was counted, the format of `DDSketchWithExactSummaryStatistics`
/// (DataDog sketches-java).
///
/// Source: Masson, Rim, Lee: "DDSketch: a fast and fully-mergeable quantile sketch with relative-error guarantees",
/// VLDB 2019.
#[derive(Clone)]
pub struct Sketch(DDSketch);

/// A written sketch cannot be read or merged.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SketchError {
    /// It was written by a newer version.
    #[error("a latency sketch has the unknown version {0}")]
    Version(u8),
    /// It is damaged.
    #[error("a latency sketch is damaged: {0}")]
    Damaged(String),
    /// It has another accuracy.
    #[error("a latency sketch has another accuracy than 1%")]
    Accuracy,
}

impl Sketch {
    /// Counts one time.
    pub fn record(&mut self, us: u64) {
        // Above 2^53 µs (285 years) the last digits go.
        #[expect(clippy::cast_precision_loss, reason = "1% is all that is kept")]
        self.0.add(us as f64);
    }

    /// Adds the times of another sketch.
    pub fn merge(&mut self, other: &Self) {
        self.0
            .merge(&other.0)
            .expect("every sketch has the one configuration: `read` makes sure");
    }

    /// How many times were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.count() as u64
    }

    /// The time that the share `q` (0 to 1) of the calls did not exceed, in microseconds; `None` without calls.
    #[must_use]
    pub fn quantile(&self, q: f64) -> Option<u64> {
        micros(self.0.quantile(q.clamp(0.0, 1.0)).ok().flatten()?)
    }

    /// The longest time, exactly, in microseconds.
    #[must_use]
    pub fn max(&self) -> Option<u64> {
        micros(self.0.max()?)
    }

    /// The sketch as bytes.
    #[must_use]
    pub fn write(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        if self.count() > 0 {
            bytes.extend(self.0.to_java_bytes());
        }
        bytes
    }

    /// A sketch that was written.
    ///
    /// # Errors
    /// [`SketchError`]
    pub fn read(bytes: &[u8]) -> Result<Self, SketchError> {
        let (version, bytes) = bytes
            .split_first()
            .ok_or_else(|| SketchError::Damaged("it is empty".to_owned()))?;
        if *version != VERSION {
            return Err(SketchError::Version(*version));
        }
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        let read = DDSketch::from_java_bytes(bytes)
            .map_err(|error| SketchError::Damaged(error.to_string()))?;
        let mut sketch = Self::default();
        sketch.0.merge(&read).map_err(|_| SketchError::Accuracy)?;
        Ok(sketch)
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the cast saturates, and no time is negative"
)]
fn micros(us: f64) -> Option<u64> {
    us.is_finite().then(|| us.round() as u64)
}

impl Default for Sketch {
    fn default() -> Self {
        // Relative accuracy 1%, at most 2048 bins.
        Self(DDSketch::new(Config::defaults()))
    }
}

impl fmt::Debug for Sketch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = |q| self.quantile(q).unwrap_or_default();
        write!(
            f,
            "Sketch({} times, p50 {} µs, p99 {} µs)",
            self.count(),
            part(0.5),
            part(0.99)
        )
    }
}

/// Equal when they are written equally.
impl PartialEq for Sketch {
    fn eq(&self, other: &Self) -> bool {
        self.write() == other.write()
    }
}

impl Serialize for Sketch {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD_NO_PAD.encode(self.write()))
    }
}

impl<'de> Deserialize<'de> for Sketch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = STANDARD_NO_PAD
            .decode(text)
            .map_err(serde::de::Error::custom)?;
        Self::read(&bytes).map_err(serde::de::Error::custom)
    }
}

/// What is counted of the calls of one key.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// Calls.
    pub requests: u64,
    /// Bytes of request bodies that were passed on.
    pub bytes_in: u64,
    /// Bytes of answers' bodies.
    pub bytes_out: u64,
    /// From a request's head to the end of its answer, in microseconds.
    pub gateway: Sketch,
    /// Until the head of the backend's answer, in microseconds; of calls that asked a backend.
    pub backend: Sketch,
}

impl Counts {
    /// Adds others.
    pub fn merge(&mut self, other: &Self) {
        self.requests += other.requests;
        self.bytes_in += other.bytes_in;
        self.bytes_out += other.bytes_out;
        self.gateway.merge(&other.gateway);
        self.backend.merge(&other.backend);
    }
}

#[cfg(test)]
mod tests;
