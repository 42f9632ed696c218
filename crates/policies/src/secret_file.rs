//! Where a document says that a secret is.

use std::path::PathBuf;

use base::{Diagnostic, Environment};
use spec::{CallerEnvironment, SecretFile, names};

/// The file, below the node's folder of secrets. `name` is what it is called in the folder of a `secretRef`.
pub(crate) fn path(
    place: &SecretFile,
    name: &str,
    pointer: &str,
    faults: &mut Vec<Diagnostic>,
) -> Option<PathBuf> {
    let (key, format, text) = match (&place.secret_ref, &place.file) {
        (Some(folder), None) => ("secretRef", "tollway-name", folder),
        (None, Some(file)) => ("file", "tollway-file", file),
        _ => {
            let message = "exactly one of `secretRef`, `file` is expected";
            faults.push(
                Diagnostic::error("one-key", pointer, message)
                    .mend("write `secretRef: NAME` for a folder of the node's --secrets-dir"),
            );
            return None;
        }
    };
    if let Some(fault) = names::fault(format, text) {
        let pointer = format!("{pointer}/{key}");
        let mut problem = Diagnostic::error("secret-place", pointer, fault.message);
        problem.mend = fault.mend;
        faults.push(problem);
        return None;
    }
    Some(match key {
        "secretRef" => PathBuf::from(text).join(name),
        _ => PathBuf::from(text),
    })
}

/// The environment that a document names.
pub(crate) fn environment(named: CallerEnvironment) -> Environment {
    match named {
        CallerEnvironment::Production => Environment::Production,
        CallerEnvironment::Sandbox => Environment::Sandbox,
    }
}
