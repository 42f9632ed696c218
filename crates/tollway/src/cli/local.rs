//! What needs no platform: `validate`, `explain-kind`, `completion`.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::{Clock, Diagnostic, Diagnostics, Org, SystemClock};
use clap::CommandFactory;
use clap_complete::Shell;
use compile::World;
use spec::Located;

use super::args::{Cli, Validate};
use super::bundle::{self, Source};
use super::failure::Failure;
use super::output;

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
    let rules = rules(&validate.rules)?;
    let sources = bundle::sources(&validate.files)?;
    let documents = sources
        .iter()
        .filter(|source| !bundle::is_definition(&source.nodes));
    let named: HashSet<PathBuf> = documents
        .flat_map(|source| &source.definitions)
        .map(root)
        .collect();
    for source in sources {
        let Source { file, text, .. } = &source;
        if bundle::is_definition(&source.nodes) {
            for whole in &source.definitions {
                // The keys of other products are read at the import; a document that is there has the word.
                let keys = !named.contains(&root(whole));
                found.extend(definition(whole, &rules, keys));
            }
            continue;
        }
        match spec::parse_located(text, Some(&bundle::name(file)), &tree::Limits::default()) {
            Ok(documents) => documents
                .iter()
                .for_each(|document| found.extend(api(&source, document, &mut apis))),
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

/// Where a definition is.
fn root((folder, files): &(PathBuf, openapi::Files)) -> PathBuf {
    folder.join(files.root()).components().collect()
}

/// The severities that the command line asks for.
fn rules(asked: &[(String, spec::RuleSeverity)]) -> Result<openapi::Rules, Failure> {
    let mut rules = openapi::Rules::default();
    for (id, severity) in asked {
        rules
            .set(id, *severity)
            .map_err(|error| Failure::Usage(format!("{error} ({})", error.mend())))?;
    }
    Ok(rules)
}

/// Checks a definition; one that is not imported yet also as an import would understand its `x-wso2-*` keys.
fn definition(
    (folder, files): &(PathBuf, openapi::Files),
    rules: &openapi::Rules,
    keys: bool,
) -> Vec<Diagnostic> {
    let found = match openapi::check(&files.pack(), &tree::Limits::default(), rules) {
        Ok(read) if keys => with_keys(read),
        Ok(read) => read.warnings,
        Err(faults) => faults,
    };
    let place = |fault: Diagnostic| {
        let file = fault.file.clone();
        let file = folder.join(file.as_deref().unwrap_or(files.root()));
        fault.in_file(bundle::name(&file))
    };
    found.into_iter().map(place).collect()
}

fn with_keys(read: openapi::Read) -> Diagnostics {
    let (definition, problems_max) = (&read.definition, tree::Limits::default().problems_max);
    let (extensions, mut found) = wso2::read(read.source.tree(), definition, problems_max);
    let file = spec::Definition::File(String::new());
    let mut api = spec::ApiSpec::new("api", definition.version.as_str(), "/api", file);
    let chosen = wso2::Chosen::default();
    found.extend(wso2::into_document(
        &extensions,
        definition,
        None,
        &chosen,
        &mut api,
    ));
    read.source.locate(&mut found);
    found.extend(read.warnings);
    found
}

/// Checks one document; an API that would serve is added to `apis`.
fn api(source: &Source, located: &Located, apis: &mut Vec<Arc<snapshot::Api>>) -> Diagnostics {
    let (document, file) = (&located.document, &source.file);
    let folder = file.parent().unwrap_or(Path::new(""));
    let gathered = |name: &str| {
        let root = folder.join(name).components().collect::<PathBuf>();
        let mut definitions = source.definitions.iter();
        let found = definitions.find(|(folder, files)| folder.join(files.root()) == root);
        found.map(|(_, files)| files.pack().to_string())
    };
    let text = match spec::resolve_definition(document, |name| {
        gathered(name).ok_or_else(|| std::io::ErrorKind::NotFound.into())
    }) {
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
