//! The words of usage: what calls are counted under, how often and how long, and how that travels.
//!
//! A node rolls its calls up into [`Row`]s, one for each [`Key`], and sends them as [`Batch`]es. A batch is named by
//! (node, epoch, sequence), so that it counts once however often it is sent.
//!
//! Knows nothing of sockets, files or databases. Start at [`Batch`].

mod batch;
mod key;
mod sketch;

pub use batch::{Batch, Epoch, KeyUse, Lost, Row, Unclean};
pub use key::{Key, NO_API, OVERFLOW, StatusClass, StatusClassError};
pub use sketch::{Counts, Sketch, SketchError};
