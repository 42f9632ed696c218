//! Rule sets over definitions: `cases/CASE/ruleset.*` and `api.yaml` → `expected.txt`, renewed by running the test with
//! `UPDATE_GOLDENS=1`; what is refused; limits; the corpus.

#![expect(clippy::unwrap_used, reason = "a test program")]

mod corpus;
mod goldens;
mod limits;
mod refused;
