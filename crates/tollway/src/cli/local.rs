//! What needs no platform: `validate`, `explain-kind`, `completion`.

use std::path::Path;
use std::sync::Arc;

use base::{Clock, Diagnostic, Diagnostics, Org, SystemClock};
use clap::CommandFactory;
use clap_complete::Shell;
use compile::World;
use spec::Located;

use super::args::{Cli, Validate};
use super::failure::Failure;
use super::{bundle, output};

/// Prints a completion script.
pub(crate) fn completion(shell: Shell) -> Result<(), Failure> {
    clap_complete::generate(
        shell,
        &mut Cli::command(),
        "tollway",
        &mut std::io::stdout(),
    );
    Ok(())
}

/// Shows the fields of a kind.
pub(crate) fn explain(kind: &str) -> Result<(), Failure> {
    let found = spec::Kind::ALL
        .into_iter()
        .find(|known| known.as_str().eq_ignore_ascii_case(kind));
    let kind = found.ok_or_else(|| {
        let names = spec::Kind::ALL.map(spec::Kind::as_str).join(", ");
        Failure::Usage(format!(
            "`{kind}` is no kind of document; kinds are {names}"
        ))
    })?;
    output::raw(spec::explain(kind).trim_end());
    Ok(())
}

/// Checks documents and definitions as the platform would, as far as that can be done without it: whether a plan or a
/// backend exists is for the platform to know.
pub(crate) fn validate(validate: &Validate) -> Result<(), Failure> {
    let mut found = Diagnostics::default();
    let mut apis = Vec::new();
    for file in bundle::files(&validate.files)? {
        let text = bundle::text(&file)?;
        let nodes = tree::parse_all(&text, &tree::Limits::default()).unwrap_or_default();
        if bundle::is_definition(&nodes) {
            found.extend(definition(&file, &text));
            continue;
        }
        match spec::parse_located(&text, Some(&bundle::name(&file)), &tree::Limits::default()) {
            Ok(documents) => documents
                .iter()
                .for_each(|document| found.extend(api(&file, document, &mut apis))),
            Err(faults) => found.extend(faults),
        }
    }
    found.extend(conflicts(apis));
    found
        .0
        .sort_by(|a, b| (&a.file, a.line, a.column).cmp(&(&b.file, b.line, b.column)));
    found.0.dedup();
    for diagnostic in found.iter() {
        output::raw(&diagnostic.to_string());
    }
    if found.has_errors() {
        Err(Failure::No)
    } else {
        Ok(())
    }
}

fn definition(file: &Path, text: &str) -> Vec<Diagnostic> {
    let found = match openapi::read(text, &tree::Limits::default()) {
        Ok(read) => read.warnings,
        Err(faults) => faults,
    };
    found
        .into_iter()
        .map(|fault| fault.in_file(bundle::name(file)))
        .collect()
}

/// Checks one document; an API that would serve is added to `apis`.
fn api(file: &Path, located: &Located, apis: &mut Vec<Arc<snapshot::Api>>) -> Diagnostics {
    let document = &located.document;
    let folder = file.parent().unwrap_or(Path::new(""));
    let text =
        match spec::resolve_definition(document, |name| std::fs::read_to_string(folder.join(name)))
        {
            Ok(Some(text)) => text,
            Ok(None) => return Diagnostics::default(),
            Err(mut faults) => {
                located.locate(&mut faults);
                return faults;
            }
        };
    let now = SystemClock::new().unix_s();
    let mut found =
        match compile::check(&Org::default_org(), document, &text, now, &World::default()) {
            Ok(reduced) => {
                apis.push(compile::build(&reduced.model).api);
                reduced.warnings
            }
            Err(faults) => faults,
        };
    located.locate(&mut found);
    for diagnostic in &mut found.0 {
        // What the definition says wrong names the definition as the document does: relative to its folder.
        let own = diagnostic.file.as_deref() != Some(&bundle::name(file));
        if let (true, Some(name)) = (own, diagnostic.file.as_mut()) {
            *name = bundle::name(&folder.join(&*name));
        }
    }
    found
}

/// Two APIs of the files that claim one path.
fn conflicts(apis: Vec<Arc<snapshot::Api>>) -> Vec<Diagnostic> {
    let (_, conflicts) = snapshot::Snapshot::new(0, apis, []);
    let fault = |conflict: snapshot::Conflict| {
        let message = format!(
            "{} and {} are both served at {}",
            conflict.holder, conflict.loser, conflict.mount
        );
        Diagnostic::error("mount-conflict", "/spec/context", message)
    };
    conflicts.into_iter().map(fault).collect()
}
