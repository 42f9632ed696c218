//! Tokens against vectors, and against those who forge them.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails it")]

mod assertions;
mod attacks;
mod claims;
mod dpop;
mod forge;
mod keys;
mod mutation;
mod outside;
mod vectors;
mod wycheproof;
