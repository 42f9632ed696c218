//! `tollway apply`, `diff`, `export`: everything as files.

use std::fs;
use std::path::{Component, Path};
use std::time::Duration;

use control::api::{
    Action, ApplyAnswer, ApplyResult, DiffAnswer, DocumentChange, ExportDocument, paths,
};
use indicatif::ProgressBar;

use super::args::{Apply, Diff, Export, Format};
use super::failure::Failure;
use super::{bundle, client, output, wait_query, waiting_client};

/// Carries out `tollway apply`.
pub(crate) async fn apply(apply: Apply) -> Result<(), Failure> {
    let bundle = bundle::read(&apply.files)?;
    let client = waiting_client(&apply.common.target, apply.wait)?;
    let query = format!(
        "?dryRun={}&prune={}{}",
        apply.dry_run,
        apply.prune,
        wait_query(apply.wait, '&')
    );
    let progress = ProgressBar::new_spinner()
        .with_message(format!("applying {} files", bundle.documents.len()));
    progress.enable_steady_tick(Duration::from_millis(100));
    let answer: Result<ApplyAnswer, Failure> = client
        .post(&format!("{}{query}", paths::APPLY), &bundle)
        .await;
    progress.finish_and_clear();
    let answer = answer?;
    for warning in &answer.warnings {
        eprintln!("{warning}");
    }
    match apply.common.output {
        Format::Table => {
            let changed: Vec<&ApplyResult> = answer
                .results
                .iter()
                .filter(|result| result.action != Action::Unchanged)
                .collect();
            for result in &changed {
                println!(
                    "{} {} {}",
                    word(result.action, answer.dry_run),
                    result.kind,
                    result.name
                );
            }
            eprintln!(
                "{} changed, {} unchanged",
                changed.len(),
                answer.results.len() - changed.len()
            );
            Ok(())
        }
        format => output::one(&answer, format, |_| String::new()),
    }
}

pub(crate) fn word(action: Action, dry_run: bool) -> &'static str {
    match (action, dry_run) {
        (Action::Created, false) => "created",
        (Action::Updated, false) => "updated",
        (Action::Deleted, false) => "deleted",
        (Action::Created, true) => "would create",
        (Action::Updated, true) => "would update",
        (Action::Deleted, true) => "would delete",
        (Action::Unchanged, _) => "unchanged",
    }
}

/// Carries out `tollway diff`.
pub(crate) async fn diff(diff: Diff) -> Result<(), Failure> {
    let bundle = bundle::read(&diff.files)?;
    let path = format!("{}?prune={}", paths::DIFF, diff.prune);
    let answer: DiffAnswer = client(&diff.common.target)?.post(&path, &bundle).await?;
    for warning in &answer.warnings {
        eprintln!("{warning}");
    }
    match diff.common.output {
        Format::Table => answer
            .changes
            .iter()
            .for_each(|change| print!("{}", readable(change))),
        format => output::one(&answer, format, |_| String::new())?,
    }
    if answer.changes.is_empty() {
        Ok(())
    } else {
        Err(Failure::No)
    }
}

/// `+`, `-` or `~`, kind and name; below it one line a field.
fn readable(change: &DocumentChange) -> String {
    use std::fmt::Write as _;
    let sign = match change.action {
        Action::Created => '+',
        Action::Deleted => '-',
        Action::Updated | Action::Unchanged => '~',
    };
    let mut text = format!("{sign} {} {}\n", change.kind, change.name);
    if change.action == Action::Updated {
        for field in &change.fields {
            let _ = writeln!(text, "    {}", output::field(field));
        }
        if change.definition_changed {
            text.push_str("    the definition's text differs\n");
        }
    }
    text
}

/// Carries out `tollway export`.
pub(crate) async fn export(export: Export) -> Result<(), Failure> {
    let folder = &export.directory;
    let occupied = fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some());
    if occupied {
        return Err(Failure::file(
            folder,
            "is not empty; an export must not mix with other files",
        ));
    }
    let answer: control::api::Export = client(&export.target)?.get(paths::EXPORT).await?;
    fs::create_dir_all(folder).map_err(|error| Failure::file(folder, error))?;
    for document in &answer.documents {
        let text = yaml(document)?;
        write(folder, &document.file, &text)?;
        if let Some(definition) = &document.definition {
            write(folder, &definition.file, &definition.text)?;
            for (file, text) in &definition.files {
                write(folder, file, text)?;
            }
        }
    }
    eprintln!(
        "wrote {} documents to {}",
        answer.documents.len(),
        folder.display()
    );
    Ok(())
}

fn yaml(document: &ExportDocument) -> Result<String, Failure> {
    let read = spec::from_json(document.document.clone()).map_err(|diagnostics| {
        let first = diagnostics
            .iter()
            .next()
            .map(ToString::to_string)
            .unwrap_or_default();
        Failure::Unreachable(format!(
            "the platform sent a {} that cannot be read: {first}",
            document.kind
        ))
    })?;
    Ok(read.to_yaml())
}

/// Writes below the folder; a name that leads out of it comes from no honest platform (req: S2).
pub(crate) fn write(folder: &Path, file: &str, text: &str) -> Result<(), Failure> {
    let safe = Path::new(file)
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    if !safe {
        return Err(Failure::Unreachable(format!(
            "the platform named a file outside the folder: {file}"
        )));
    }
    let path = folder.join(file);
    let parent = path.parent().unwrap_or(folder);
    fs::create_dir_all(parent).map_err(|error| Failure::file(parent, error))?;
    fs::write(&path, text).map_err(|error| Failure::file(&path, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// req: S2
    #[test]
    fn a_platform_cannot_write_outside_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        for file in ["../x", "/x", "a/../../x"] {
            assert!(write(folder.path(), file, "x").is_err(), "{file}");
        }
        write(folder.path(), "apis/x.yaml", "x").unwrap();
        assert!(folder.path().join("apis/x.yaml").is_file());
    }

    #[test]
    fn differences_read_like_a_patch() {
        let change = DocumentChange {
            kind: "Plan".into(),
            name: "Gold".into(),
            action: Action::Updated,
            fields: vec![control::api::FieldChange {
                pointer: "/spec/quota/requests".into(),
                before: Some(5000.into()),
                after: Some(6000.into()),
            }],
            definition_changed: false,
        };
        assert_eq!(
            readable(&change),
            "~ Plan Gold\n    /spec/quota/requests: 5000 -> 6000\n"
        );
    }
}
