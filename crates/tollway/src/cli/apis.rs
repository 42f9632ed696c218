//! `tollway api`

use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use control::api::{
    DefinitionFiles, ImportAnswer, ImportRequest, Lifecycle, LifecycleRequest, Object, paths,
};
use indicatif::ProgressBar;
use store::RecordKind;

use super::args::{Api, Definition, Gone, Import, One, State};
use super::client::Client;
use super::failure::Failure;
use super::{bundle, client, documents, gitops, output, revisions, wait_query, waiting_client};

/// How a zip archive begins.
const ZIP: &[u8] = b"PK\x03\x04";

/// Carries out `tollway api …`.
pub(crate) async fn run(command: Api) -> Result<(), Failure> {
    match command {
        Api::Import(import) => self::import(*import).await,
        Api::List(common) => documents::list(RecordKind::Api, &common).await,
        Api::Get(one) => get(&one).await,
        Api::Definition(definition) => self::definition(&definition).await,
        Api::State(state) => self::state(&state).await,
        Api::Revisions(one) => revisions::list(&one).await,
        Api::Deploy(deploy) => revisions::deploy(&deploy).await,
        Api::Undeploy(undeploy) => revisions::undeploy(&undeploy).await,
        Api::Rollback(rollback) => revisions::rollback(&rollback).await,
        Api::Diff(diff) => revisions::diff(&diff).await,
        Api::Delete(gone) => delete(&gone).await,
    }
}

async fn import(import: Import) -> Result<(), Failure> {
    let file = &import.definition;
    let request = ImportRequest {
        name: import.name,
        version: import.version,
        context: import.context,
        backend: import.backend,
        plans: import.plans,
        rules: import.rules.into_iter().collect(),
        default_version: import.default_version,
        publish: import.publish,
        ..source(file, import.root)?
    };
    let client = waiting_client(&import.common.target, import.wait)?;
    let progress = ProgressBar::new_spinner().with_message(format!("importing {}", file.display()));
    progress.enable_steady_tick(Duration::from_millis(100));
    let path = paths::IMPORT.to_owned() + &wait_query(import.wait, '?');
    let answer: Result<ImportAnswer, Failure> = client.post(&path, &request).await;
    progress.finish_and_clear();
    let answer = answer?;
    for warning in &answer.warnings {
        eprintln!("{warning}");
    }
    output::one(&answer.api, import.common.output, |api| {
        let spec = |pointer| output::text(&api.spec, pointer);
        format!(
            "{}:{} is {} at {}/{} with {} operations",
            spec("/name"),
            spec("/version"),
            spec("/lifecycle"),
            spec("/context"),
            spec("/version"),
            answer.operations
        )
    })
}

/// What is imported, as the platform wants it.
fn source(file: &Path, root: Option<String>) -> Result<ImportRequest, Failure> {
    let name = file.to_string_lossy();
    if ["http://", "https://"]
        .iter()
        .any(|scheme| name.starts_with(scheme))
    {
        return Ok(ImportRequest {
            url: Some(name.into_owned()),
            file: root,
            ..ImportRequest::default()
        });
    }
    let bytes = std::fs::read(file).map_err(|error| Failure::file(file, error))?;
    if bytes.starts_with(ZIP) {
        return Ok(ImportRequest {
            archive: Some(BASE64_STANDARD.encode(bytes)),
            file: root,
            ..ImportRequest::default()
        });
    }
    if root.is_some() {
        return Err(Failure::Usage("--root belongs to an archive".into()));
    }
    let text = String::from_utf8(bytes).map_err(|_| Failure::file(file, "is not UTF-8"))?;
    let folder = file.parent().unwrap_or(Path::new(""));
    let root = file.file_name().unwrap_or_default().to_string_lossy();
    let files = bundle::gathered(folder, &root, text.into())?;
    let others = files.others();
    Ok(ImportRequest {
        definition: Some(files.root_text().to_string()),
        file: Some(root.into_owned()),
        files: others
            .map(|(name, text)| (name.to_owned(), text.to_string()))
            .collect(),
        ..ImportRequest::default()
    })
}

async fn get(one: &One) -> Result<(), Failure> {
    let object = find(&client(&one.common.target)?, &one.name).await?;
    output::document(&object, one.common.output)
}

async fn definition(definition: &Definition) -> Result<(), Failure> {
    let client = client(&definition.target)?;
    let name = find(&client, &definition.name).await?.name().to_owned();
    if definition.bundled {
        let path = paths::definition(&name) + "?bundled=true";
        let bundled: serde_json::Value = client.get(&path).await?;
        return output::json(&bundled);
    }
    let found: DefinitionFiles = client.get(&paths::definition_files(&name)).await?;
    if let Some(folder) = &definition.directory {
        for (file, text) in &found.files {
            gitops::write(folder, file, text)?;
        }
        eprintln!("wrote {} files to {}", found.files.len(), folder.display());
        return Ok(());
    }
    output::exact(found.files.get(&found.root).map_or("", String::as_str));
    Ok(())
}

async fn state(state: &State) -> Result<(), Failure> {
    let client = waiting_client(&state.common.target, state.wait)?;
    let name = find(&client, &state.name).await?.name().to_owned();
    let request = LifecycleRequest {
        state: state.state.clone(),
        sunset: state.sunset.clone(),
    };
    let path = paths::lifecycle(&name) + &wait_query(state.wait, '?');
    let lifecycle: Lifecycle = client.post(&path, &request).await?;
    output::one(&lifecycle, state.common.output, |lifecycle| {
        format!("{} is {}", state.name, lifecycle.state)
    })
}

async fn delete(gone: &Gone) -> Result<(), Failure> {
    let client = waiting_client(&gone.target, gone.wait)?;
    let name = find(&client, &gone.name).await?.name().to_owned();
    client
        .delete(&(paths::item(RecordKind::Api, &name) + &wait_query(gone.wait, '?')))
        .await?;
    eprintln!("deleted Api {}", gone.name);
    Ok(())
}

/// An API by `NAME:VERSION`, or by its document's name.
pub(crate) async fn find(client: &Client, name: &str) -> Result<Object, Failure> {
    let Some((api, version)) = name.split_once(':') else {
        return client.get(&paths::item(RecordKind::Api, name)).await;
    };
    let query = format!(
        "?name={}&version={}",
        paths::escaped(api),
        paths::escaped(version)
    );
    let found: Vec<Object> = client
        .list(&format!("{}{query}", paths::collection(RecordKind::Api)))
        .await?;
    found.into_iter().next().ok_or_else(|| {
        let problem = base::Problem::new(
            base::code::NOT_FOUND,
            format!("there is no API {api} in version {version}"),
        );
        Failure::Refused(Box::new(problem))
    })
}
