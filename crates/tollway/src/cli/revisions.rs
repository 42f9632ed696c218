//! `tollway api revisions`, `deploy`, `undeploy`, `rollback`, `diff`: what is served where.

use control::api::{
    ApiRevisionDiff, ApiRevisionItem, ChangeKind, DeployRequest, DeployState, Deployed, paths,
};
use spec::RevisionRef;

use super::apis::find;
use super::args::{ApiDiff, Deploy, One, Rollback, Undeploy};
use super::client::Client;
use super::failure::Failure;
use super::{client, output, wait_query, waiting_client};

/// Carries out `tollway api revisions`.
pub(crate) async fn list(one: &One) -> Result<(), Failure> {
    let client = client(&one.common.target)?;
    let name = document_name(&client, &one.name).await?;
    let items: Vec<ApiRevisionItem> = client.list(&paths::revisions(&name)).await?;
    output::list(
        &items,
        one.common.output,
        &["REVISION", "MADE", "BY", "DIGEST", "DEPLOYED ON"],
        |item| {
            vec![
                item.number.to_string(),
                output::time(item.at_unix_ms),
                item.actor.clone(),
                item.digest.chars().take(12).collect(),
                item.gateways.join(", "),
            ]
        },
    )
}

/// The document's name of an API by `NAME:VERSION`, also when it was deleted and had the usual one.
async fn document_name(client: &Client, name: &str) -> Result<String, Failure> {
    let usual = || {
        let (api, version) = name.split_once(':')?;
        Some(spec::names::api_document_name(api, version))
    };
    match find(client, name).await {
        Ok(object) => Ok(object.name().to_owned()),
        Err(Failure::Refused(problem)) if problem.code == base::code::NOT_FOUND.name => {
            Ok(usual().unwrap_or_else(|| name.to_owned()))
        }
        Err(failure) => Err(failure),
    }
}

/// Carries out `tollway api deploy`.
pub(crate) async fn deploy(deploy: &Deploy) -> Result<(), Failure> {
    let client = waiting_client(&deploy.common.target, deploy.wait)?;
    let name = find(&client, &deploy.name).await?.name().to_owned();
    let path = paths::deployment(&name, &deploy.gateway) + &wait_query(deploy.wait, '?');
    let wish = DeployRequest {
        revision: deploy.revision,
    };
    let answer: Deployed = client.put(&path, &wish).await?;
    print(&deploy.name, &answer, deploy.common.output)
}

/// Carries out `tollway api undeploy`.
pub(crate) async fn undeploy(undeploy: &Undeploy) -> Result<(), Failure> {
    let client = waiting_client(&undeploy.common.target, undeploy.wait)?;
    let name = find(&client, &undeploy.name).await?.name().to_owned();
    let path = paths::deployment(&name, &undeploy.gateway) + &wait_query(undeploy.wait, '?');
    let answer: Deployed = client.delete_answered(&path).await?;
    print(&undeploy.name, &answer, undeploy.common.output)
}

/// Carries out `tollway api rollback`.
pub(crate) async fn rollback(rollback: &Rollback) -> Result<(), Failure> {
    let client = waiting_client(&rollback.common.target, rollback.wait)?;
    let name = find(&client, &rollback.name).await?.name().to_owned();
    let path = format!(
        "{}/rollback{}",
        paths::deployment(&name, &rollback.gateway),
        wait_query(rollback.wait, '?')
    );
    let answer: Deployed = client.post(&path, &serde_json::json!({})).await?;
    print(&rollback.name, &answer, rollback.common.output)
}

fn print(name: &str, answer: &Deployed, format: super::args::Format) -> Result<(), Failure> {
    for warning in &answer.warnings {
        eprintln!("{warning}");
    }
    output::one(answer, format, |answer| {
        let revision = |number: Option<u64>| {
            number.map_or_else(|| "nothing".to_owned(), |number| number.to_string())
        };
        let latest = if answer.latest { " (latest)" } else { "" };
        let state = match answer.state {
            DeployState::Deployed if answer.nodes == 1 => "deployed: its node serves it".to_owned(),
            DeployState::Deployed => format!("deployed: all {} nodes serve it", answer.nodes),
            DeployState::Pending => "pending: the gateway has no live node".to_owned(),
            DeployState::Stored => "stored".to_owned(),
        };
        format!(
            "{name} on {}: {} -> {}{latest}, {state}",
            answer.gateway,
            revision(answer.from),
            revision(answer.to),
        )
    })
}

/// Carries out `tollway api diff`: exit code 1 when something breaks callers.
pub(crate) async fn diff(diff: &ApiDiff) -> Result<(), Failure> {
    let client = client(&diff.common.target)?;
    let name = document_name(&client, &diff.name).await?;
    let to = match diff.to {
        RevisionRef::Number(number) => number,
        RevisionRef::Latest => newest(&client, &name).await?,
    };
    let path = paths::revision_diff(&name, diff.from, to);
    let answer: ApiRevisionDiff = client.get(&path).await?;
    output::one(&answer, diff.common.output, readable)?;
    if answer.breaking {
        return Err(Failure::No);
    }
    Ok(())
}

async fn newest(client: &Client, name: &str) -> Result<u64, Failure> {
    let path = format!("{}?limit=1", paths::revisions(name));
    let list: control::api::List<ApiRevisionItem> = client.get(&path).await?;
    Ok(list.items.first().map_or(0, |newest| newest.number))
}

/// What matters to callers first, then the document.
fn readable(diff: &ApiRevisionDiff) -> String {
    let mut lines = Vec::new();
    for change in &diff.definition {
        let sign = match change.change {
            ChangeKind::Added => '+',
            ChangeKind::Removed => '-',
            ChangeKind::Changed => '~',
        };
        let breaking = if change.breaking {
            "  BREAKS CALLERS"
        } else {
            ""
        };
        let operation = change.operation.as_deref().unwrap_or("the definition");
        lines.push(format!(
            "{sign} {operation}: {} [{}]{breaking}",
            change.message, change.rule
        ));
    }
    let quiet = diff.definition_changed && diff.definition.is_empty();
    if quiet {
        lines.push("the definition's text differs, for callers nothing does".to_owned());
    }
    lines.extend(diff.fields.iter().map(output::field));
    if lines.is_empty() {
        return format!("revisions {} and {} do not differ", diff.from, diff.to);
    }
    lines.join("\n")
}
